"""Short vectors for compiled functions: one number for each of WIDTH pixels, all worked on at once.

numba's loops are vectorised only where LLVM can prove that nothing overlaps, which a recursion over time with one
row of pixels a step defeats. These types say it outright; LLVM splits them into whatever registers a machine has.
"""

import operator
import os
from pathlib import Path

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

from phenolib.files import digest, home, sha256

if "NUMBA_CACHE_DIR" not in os.environ:  # numba sees a change of a function's own file, not of what that calls
    sources = sorted(Path(__file__).parent.glob("*.py"))
    numba.config.CACHE_DIR = str(home() / "cache" / "compiled" / digest(*map(sha256, sources))[:16])

WIDTH = 16
# What a caller hands over and nothing is allocated in needs no counting of references: each is an atomic operation,
# which takes longer than the arithmetic of a node and which threads that share an array wait for.
BORROWED = dict(cache=True, nogil=True, error_model="numpy", _nrt=False)
FLOATS = ir.VectorType(ir.FloatType(), WIDTH)
BOOLEANS = ir.VectorType(ir.IntType(1), WIDTH)
FAST = ("contract", "nsz", "arcp")


class Lanes(types.Type):
    """WIDTH float32 numbers."""

    def __init__(self):
        super().__init__(name=f"lanes{WIDTH}")


class Mask(types.Type):
    """WIDTH truth values."""

    def __init__(self):
        super().__init__(name=f"mask{WIDTH}")


lanes, mask = Lanes(), Mask()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, FLOATS)


@register_model(Mask)
class MaskModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, BOOLEANS)


def pointer(context, builder, kind, array, index):
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), FLOATS.as_pointer())


@intrinsic
def load(typing, array, index):
    """Lanes from a flat float32 array, from ``index`` on."""

    def code(context, builder, signature, arguments):
        return builder.load(pointer(context, builder, signature.args[0], *arguments), align=4)

    return lanes(array, types.intp), code


@intrinsic
def store(typing, array, index, value):
    """Lanes into a flat float32 array, from ``index`` on."""

    def code(context, builder, signature, arguments):
        builder.store(arguments[2], pointer(context, builder, signature.args[0], *arguments[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@intrinsic
def look(typing, array, index):
    """One number of a flat array; unlike array[index], an index below 0 is not counted from the end."""

    def code(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return array.dtype(array, types.intp), code


@intrinsic
def spread(typing, value):
    """The same number in every lane."""

    def code(context, builder, signature, arguments):
        number = context.cast(builder, arguments[0], signature.args[0], types.float32)
        one = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
        first = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(one, ir.Constant(FLOATS, ir.Undefined), first)

    return lanes(value), code


def arithmetic(name):
    @intrinsic
    def operation(typing, a, b):
        if a != lanes or b != lanes:
            return None
        return lanes(lanes, lanes), lambda context, builder, signature, arguments: getattr(builder, name)(
            *arguments, flags=FAST)

    return operation


def comparison(sign):
    @intrinsic
    def operation(typing, a, b):
        if a != lanes or b != lanes:
            return None
        return mask(lanes, lanes), lambda context, builder, signature, arguments: builder.fcmp_ordered(
            sign, *arguments)

    return operation


def function(name):
    @intrinsic
    def operation(typing, a):
        if a != lanes:
            return None

        def code(context, builder, signature, arguments):
            kind = ir.FunctionType(FLOATS, [FLOATS])
            called = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{WIDTH}f32")
            return builder.call(called, arguments)

        return lanes(lanes), code

    return operation


size = function("fabs")
INTEGERS = ir.VectorType(ir.IntType(32), WIDTH)
EXPONENTIAL = (  # 2ᶠ for |f| ≤ 1/2, fitted at Chebyshev's nodes: 3e-9 off at the most
    0.9999999999595288, 0.693147206721803, 0.240226512137884, 0.05550327190351017, 0.009618025577148914,
    0.001340044170874983, 0.00015469740243467884)
LOGARITHM = (  # ln m = s·(… in s²), s = (m−1)/(m+1), for m between √½ and √2
    2.000000000008456, 0.6666666523686929, 0.40000386487633594, 0.2853495186047434, 0.23618051724032746)


def constant(value, kind=FLOATS):
    return ir.Constant(kind, [value] * WIDTH)


def polynomial(builder, coefficients, x):
    y = constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        y = builder.fadd(builder.fmul(y, x, flags=FAST), constant(c), flags=FAST)
    return y


@intrinsic
def exponential(typing, x):
    """eˣ, to single precision; x is held between −87 and 87."""
    if x != lanes:
        return None

    def code(context, builder, signature, arguments):
        x = arguments[0]
        x = builder.select(builder.fcmp_ordered("<", x, constant(87.0)), x, constant(87.0))
        x = builder.select(builder.fcmp_ordered(">", x, constant(-87.0)), x, constant(-87.0))
        y = builder.fmul(x, constant(1.4426950408889634), flags=FAST)
        kind = ir.FunctionType(FLOATS, [FLOATS])
        rounded = cgutils.get_or_insert_function(builder.module, kind, f"llvm.rint.v{WIDTH}f32")
        whole = builder.call(rounded, [y])
        power = polynomial(builder, EXPONENTIAL, builder.fsub(y, whole, flags=FAST))
        shifted = builder.shl(builder.add(builder.fptosi(whole, INTEGERS), constant(127, INTEGERS)),
                              constant(23, INTEGERS))
        return builder.fmul(power, builder.bitcast(shifted, FLOATS), flags=FAST)

    return lanes(lanes), code


@intrinsic
def logarithm(typing, x):
    """ln x for x > 0, to single precision."""
    if x != lanes:
        return None

    def code(context, builder, signature, arguments):
        number = builder.bitcast(arguments[0], INTEGERS)
        power = builder.ashr(builder.sub(number, constant(0x3F3504F3, INTEGERS)), constant(23, INTEGERS))
        m = builder.bitcast(builder.sub(number, builder.shl(power, constant(23, INTEGERS))), FLOATS)
        s = builder.fdiv(builder.fsub(m, constant(1.0)), builder.fadd(m, constant(1.0)), flags=FAST)
        series = builder.fmul(s, polynomial(builder, LOGARITHM, builder.fmul(s, s, flags=FAST)), flags=FAST)
        whole = builder.fmul(builder.sitofp(power, FLOATS), constant(0.6931471805599453), flags=FAST)
        return builder.fadd(whole, series, flags=FAST)

    return lanes(lanes), code


@intrinsic
def total(typing, x):
    """Sum over the lanes."""
    if x != lanes:
        return None

    def code(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), FLOATS])
        called = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{WIDTH}f32")
        zero = ir.Constant(ir.FloatType(), 0.0)
        return builder.call(called, [zero, arguments[0]], fastmath=("reassoc", *FAST))

    return types.float32(lanes), code


@intrinsic
def choose(typing, condition, a, b):
    """a where the condition holds, else b."""
    if condition != mask or a != lanes or b != lanes:
        return None
    return lanes(mask, lanes, lanes), lambda context, builder, signature, arguments: builder.select(*arguments)


@intrinsic
def both(typing, a, b):
    """Where both conditions hold."""
    if a != mask or b != mask:
        return None
    return mask(mask, mask), lambda context, builder, signature, arguments: builder.and_(*arguments)


@intrinsic
def bits(typing, condition):
    """A mask as the lowest bits of an integer: bit k is lane k."""
    if condition != mask:
        return None

    def code(context, builder, signature, arguments):
        return builder.zext(builder.bitcast(arguments[0], ir.IntType(WIDTH)), ir.IntType(64))

    return types.uint64(mask), code


@intrinsic
def lowest(typing, number):
    """Which is the lowest bit set in an integer that is not 0."""

    def code(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), code


def add_operator(sign, operation, mixed):
    def chosen(a, b):
        if a == lanes and b == lanes:
            return lambda a, b: operation(a, b)
        if mixed and a == lanes and isinstance(b, (types.Float, types.Integer)):
            return lambda a, b: operation(a, spread(b))
        if mixed and b == lanes and isinstance(a, (types.Float, types.Integer)):
            return lambda a, b: operation(spread(a), b)
        return None

    overload(sign)(chosen)


for sign, name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv")):
    add_operator(sign, arithmetic(name), mixed=True)
for sign, name in ((operator.lt, "<"), (operator.le, "<="), (operator.eq, "==")):
    add_operator(sign, comparison(name), mixed=True)

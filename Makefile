# make book   the environment, the chapters, the pages (_build/html/index.html), and a look at every page
# make test   the same environment, the style check and every test
.PHONY: book test env lock clean

PYTHON ?= python3
BIN := .venv/bin

book: env
	$(BIN)/phenolib book --strict
	$(BIN)/python -m pytest tests/test_book.py -n 0

test: env
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 2 --dist worksteal

env: .venv/ready

# uv installs the lock in seconds and pip in minutes; both give the same versions.
# UV_TORCH_BACKEND=cpu keeps the CUDA packages away where PyTorch's own index can be reached.
.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q uv || true
	$(BIN)/python -m uv pip install -q --python $(BIN)/python $${PIP_FIND_LINKS:+--find-links "$$PIP_FIND_LINKS"} -r requirements.lock \
		|| $(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-build-isolation --no-deps -e .
	touch $@

lock:
	$(BIN)/python -m uv pip compile -q requirements.in --python-version 3.11 --no-annotate -o requirements.lock \
		--no-emit-index-url --no-emit-find-links $${PIP_FIND_LINKS:+--find-links "$$PIP_FIND_LINKS"} \
		--custom-compile-command "make lock"
	sed -i -E 's/\+cpu$$//; /^(cuda-|nvidia-|triton==)/d' requirements.lock

clean:
	rm -rf _build .venv

"""The matrix of random effects, row by row, and the equations it leads to.

A random term is a grouping with k effects, e.g. an intercept and a slope; its covariance is T Tᵀ with T lower
triangular. With standard normal u, the rows' random parts are M u, where row i of M holds zᵢᵀ T at the columns of its
group. Every row belongs to one group of each term, so M has the same few filled columns in every row and is kept as
(n, K) numbers. In MᵀWM + I the largest term stands as blocks on the diagonal; it is eliminated first, and only the
rest is a dense matrix: plots and tubes in their thousands cost little beside some years.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix


class Layout:
    """Where the random effects of each row stand.

    terms  list of ``design.Term``; without any, one group with an effect of nothing stands in
    n      rows
    """

    def __init__(self, terms, n):
        self.terms = sorted(terms, key=lambda t: -len(t.levels) * t.z.shape[1])
        groups = [(t.codes, len(t.levels), t.z) for t in self.terms] or [(np.zeros(n, int), 1, np.zeros((n, 1)))]
        self.z, self.sizes = [], []
        for _, _, z in groups:
            size = np.sqrt(np.mean(z**2, 0))
            self.sizes.append(np.where(size > 0, size, 1.0))
            self.z.append(z / self.sizes[-1])
        self.n, self.k, self.levels = n, groups[0][2].shape[1], groups[0][1]
        self.first = groups[0][0]
        starts = np.cumsum([0, *(levels * z.shape[1] for _, levels, z in groups)])
        self.q, self.starts = int(starts[-1]), starts
        self.rest = self.q - self.k * self.levels
        self.cols = np.concatenate([start + codes[:, None] * z.shape[1] + np.arange(z.shape[1])
                                    for start, (codes, _, z) in zip(starts, groups)], 1)  # (n, K)
        self.place = np.cumsum([0, *(z.shape[1] for _, _, z in groups)])  # of each term among the K
        self.pointer = np.arange(n + 1) * self.cols.shape[1]
        self.theta = [(t, a, b) for t in range(len(self.terms)) for b in range(self.z[t].shape[1])
                      for a in range(b, self.z[t].shape[1])]
        self.diagonal = np.array([a == b for _, a, b in self.theta], bool)

    def triangles(self, theta):
        """The matrices T of all terms, (k, k) each, for effects scaled to a mean square of 1."""
        found = [np.zeros((z.shape[1],) * 2) for z in self.z]
        for value, (t, a, b) in zip(theta, self.theta):
            found[t][a, b] = value
        return found

    def values(self, theta):
        """The filled numbers of M, (n, K)."""
        return np.concatenate([z @ triangle for z, triangle in zip(self.z, self.triangles(theta))], 1)

    def matrix(self, values):
        """M as a sparse matrix (n, q)."""
        return csr_matrix((values.ravel(), self.cols.ravel(), self.pointer), (self.n, self.q))

    def along(self, j, vector):
        """Row by row, the derivative of M by the parameter j, times a vector or matrix (q, …): (n, …)."""
        t, a, b = self.theta[j]
        return (self.z[t][:, a] * vector[self.cols[:, self.place[t] + b]].T).T

    def column(self, j):
        """The filled column that the parameter j moves, and what it is multiplied by: int, (n,)."""
        t, a, b = self.theta[j]
        return self.place[t] + b, self.z[t][:, a]


class Factor:
    """MᵀWM + I, factorised with the largest term eliminated.

    layout  Layout
    values  (n, K) of ``Layout.values``
    weight  (n,) positive, or None for ones
    """

    def __init__(self, layout, values, weight=None):
        self.layout, k, levels = layout, layout.k, layout.levels
        weighted = values if weight is None else values * weight[:, None]
        first, rest = layout.first, layout.cols[:, k:] - k * levels
        block = np.zeros((levels, k, k))
        for a in range(k):
            for b in range(a, k):
                block[:, a, b] = block[:, b, a] = np.bincount(first, weighted[:, a] * values[:, b], levels)
        block[:, range(k), range(k)] += 1
        side = np.zeros((levels, k, layout.rest))
        dense = np.eye(layout.rest)
        for c in range(rest.shape[1]):
            for a in range(k):
                product = np.bincount(first * layout.rest + rest[:, c], weighted[:, a] * values[:, k + c],
                                      levels * layout.rest)
                side[:, a] += product.reshape(levels, -1)
            for d in range(rest.shape[1]):
                product = np.bincount(rest[:, c] * layout.rest + rest[:, d], weighted[:, k + c] * values[:, k + d],
                                      layout.rest**2)
                dense += product.reshape(layout.rest, -1)
        self.block = np.linalg.inv(block)  # (levels, k, k), of positive definite matrices no smaller than I
        self.side = side
        self.over = self.block @ side
        flat = side.reshape(levels * k, -1)
        self.dense = cho_factor(dense - flat.T @ self.over.reshape(levels * k, -1), lower=True)
        self.logdet = np.linalg.slogdet(block)[1].sum() + 2 * np.log(np.diag(self.dense[0])).sum()

    def solve(self, right):
        """The solution for right sides (q,) or (q, r)."""
        cut, shape = self.layout.k * self.layout.levels, right.shape
        right = right.reshape(shape[0], -1)
        top = self.block @ right[:cut].reshape(self.layout.levels, self.layout.k, -1)
        if not self.layout.rest:
            return top.reshape(shape)
        bottom = cho_solve(self.dense, right[cut:] - self.side.reshape(cut, -1).T @ top.reshape(cut, -1))
        top = top.reshape(cut, -1) - self.over.reshape(cut, -1) @ bottom
        return np.concatenate([top, bottom]).reshape(shape)

    def inverse(self):
        """The entries of the inverse that meet in one row of M: (n, K, K)."""
        k, levels, rest = self.layout.k, self.layout.levels, self.layout.cols[:, self.layout.k:]
        first, rest = self.layout.first, rest - k * levels
        found = np.empty((self.layout.n, *(self.layout.cols.shape[1],) * 2))
        small = cho_solve(self.dense, np.eye(self.layout.rest))
        cross = -self.over @ small  # (levels, k, rest)
        found[:, :k, :k] = (self.block - cross @ self.over.transpose(0, 2, 1))[first]
        found[:, :k, k:] = cross[first[:, None, None], np.arange(k)[None, :, None], rest[:, None, :]]
        found[:, k:, :k] = found[:, :k, k:].transpose(0, 2, 1)
        found[:, k:, k:] = small[rest[:, :, None], rest[:, None, :]]
        return found

"""Writes descriptions.json: effects from descriptions by scikit-learn's words and kernel ridge regression, for
`src/models/described`.

usage: python tests/golden/make_descriptions.py > tests/golden/descriptions.json
needs: numpy, scikit-learn (1.9 and later); each component is left out and everything fitted again, in place of a closed form.
"""

import json

import numpy
from sklearn.feature_extraction.text import TfidfVectorizer

DEGREES = [1, 2, 4]
RIDGES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
TEXTS = [
    "alpha inhibitor; strongly inhibits the alpha pathway",
    "alpha inhibitor; mildly inhibits the alpha pathway and weakly activates the beta pathway",
    "Alpha inhibitor, clearly inhibits the alpha pathway",
    "beta activator; strongly activates the beta pathway",
    "beta activator; mildly activates the beta pathway; some cells do not respond",
    "beta activator: clearly activates the BETA pathway and weakly inhibits the gamma pathway",
    "gamma inhibitor; strongly inhibits the gamma pathway (IL-6, TNF_a)",
    "gamma inhibitor; mildly inhibits the gamma pathway",
    "gamma inhibitor; clearly inhibits the gamma pathway and weakly inhibits the alpha pathway",
]
NEW = ["beta activator; strongly activates the beta pathway and weakly inhibits the alpha pathway", "nothing known", "Gamma"]


def power(products, degree):
    return ((1 + products) / 2) ** degree


def solve(kernel, targets, ridge):
    """The intercept is not penalised: one system for both."""
    n = len(targets)
    left = numpy.block([[kernel + ridge * numpy.eye(n), numpy.ones((n, 1))], [numpy.ones((1, n)), numpy.zeros((1, 1))]])
    solved = numpy.linalg.solve(left, numpy.vstack([targets, numpy.zeros((1, targets.shape[1]))]))
    return solved[:n], solved[n]


generator = numpy.random.default_rng(1)
classes = numpy.repeat([0, 1, 2], 3)
effects = generator.normal(size=(3, 4))[classes] * numpy.tile([1.2, 0.8, 1.0], 3)[:, None]
effects = numpy.round(effects + 0.1 * generator.normal(size=effects.shape), 3)
words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\w+").fit(TEXTS)
vectors = words.transform(TEXTS).toarray()


def errors(degree, ridge):
    kernel, gaps = power(vectors @ vectors.T, degree), []
    for row in range(len(TEXTS)):
        others = [other for other in range(len(TEXTS)) if other != row]
        coefficients, intercept = solve(kernel[numpy.ix_(others, others)], effects[others], ridge)
        gaps.append(effects[row] - kernel[row, others] @ coefficients - intercept)
    return float(numpy.mean(numpy.sum(numpy.square(gaps), axis=1)))


tried = {(degree, ridge): errors(degree, ridge) for degree in DEGREES for ridge in RIDGES}
degree, ridge = min(tried, key=tried.get)
coefficients, intercept = solve(power(vectors @ vectors.T, degree), effects, ridge)
told = power(words.transform(NEW).toarray() @ vectors.T, degree) @ coefficients + intercept
mean = [effects[[other for other in range(len(TEXTS)) if other != row]].mean(axis=0) for row in range(len(TEXTS))]
golden = {
    "texts": TEXTS,
    "effects": effects.tolist(),
    "terms": len(words.vocabulary_),
    "first_vector": vectors[0].tolist(),
    "degree": degree,
    "ridge": ridge,
    "error": tried[degree, ridge],
    "error_of_mean": float(numpy.mean(numpy.sum(numpy.square(effects - mean), axis=1))),
    "new": NEW,
    "told": told.tolist(),
}
print(json.dumps(golden, indent=1))

"""Twin of a weighted `linear` model with one output or several, in plain Python, of numbers that are all there."""

import math

MOST = 100.0


class Linear:
    """Scaled numbers, log loss; `weights` by class, or None for the balance of the classes learned."""

    def __init__(self, inputs, classes, weights, lr=0.01):
        self.classes, self.weights, self.lr = classes, weights, lr
        self.values = [[] for _ in range(inputs)]
        self.w = [[0.0] * (inputs + 1) for _ in range(1 if classes == 2 else classes)]
        self.labels = []

    def scaled(self, row):
        z = []
        for x, values in zip(row, self.values, strict=True):
            mean = sum(values) / len(values) if values else 0.0
            var = sum((v - mean) ** 2 for v in values) / len(values) if values else 0.0
            z.append((x - mean) / math.sqrt(var) if var > 1e-20 else 0.0)
        return [*z, 1.0]

    def predict(self, row):
        raw = [sum(a * b for a, b in zip(w, self.scaled(row), strict=True)) for w in self.w]
        if self.classes == 2:
            return [1 / (1 + math.exp(-raw[0]))]
        shares = [math.exp(r) if c in self.labels else 0.0 for c, r in enumerate(raw)]
        return [s / sum(shares) for s in shares] if self.labels else [math.nan] * self.classes

    def learn(self, row, y):
        for x, values in zip(row, self.values, strict=True):
            values.append(x)
        p = self.predict(row)
        self.labels.append(y)
        weight = self.weight(y)
        for c, w in enumerate(self.w):
            if self.classes == 2:
                gradient = p[0] - y
            elif c not in self.labels:
                continue
            else:
                gradient = (0.0 if math.isnan(p[c]) else p[c]) - (c == y)
            for j, z in enumerate(self.scaled(row)):
                w[j] -= self.lr * weight * gradient * z

    def weight(self, y):
        if self.weights is not None:
            return self.weights.get(y, 1.0)
        return min(MOST, len(self.labels) / (len(set(self.labels)) * self.labels.count(y)))

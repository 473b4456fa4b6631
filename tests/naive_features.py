"""The slow, obvious twin of `stream_app.flow.features`: Python lists, filtered anew at every step."""

import math
import statistics

import numpy as np

PREDICT, LEARN = 0, 1
LOWEST = -(2**62)


class NaiveKeys:
    """Text keys by the number of their last event; at capacity the oldest eighth goes."""

    def __init__(self, max_keys):
        self.max_keys = max_keys
        self.seen = {}
        self.events = 0

    def see(self, text):
        """Whether the key is new."""
        new = text not in self.seen
        if new and len(self.seen) == self.max_keys:
            for old in sorted(self.seen, key=self.seen.get)[: max(1, self.max_keys // 8)]:
                del self.seen[old]
        self.seen[text] = self.events
        self.events += 1
        return new


class NaiveWindow:
    """One feature: entries (group, position, value) of all groups in order of arrival."""

    def __init__(self, feature, max_values):
        self.feature = feature
        self.max_values = max_values
        self.entries = []
        self.clock = {}
        self.time = {}
        self.count = {}
        self.life = {}
        self.lives = 0
        self.stream_time = LOWEST
        self.tickets = {}

    def begin(self, group):
        self.entries = [entry for entry in self.entries if entry[0] != group]
        self.clock[group], self.time[group], self.count[group] = LOWEST, LOWEST, 0
        self.lives += 1
        self.life[group] = self.lives

    def now(self, group):
        return self.clock[group] if self.feature.over.duration_ms else self.count[group]

    def expire(self, group):
        start = self.now(group) - (self.feature.over.duration_ms or self.feature.over.events)
        self.entries = [entry for entry in self.entries if entry[0] != group or entry[1] > start]

    def push(self, group, value):
        self.entries.append((group, self.now(group), value, self.time[group]))
        self.entries = self.entries[-self.max_values :]

    def value(self, group):
        window = [entry for entry in self.entries if entry[0] == group]
        values = [value for _, _, value, _ in window]
        times = [time for _, _, _, time in window]
        return summary(self.feature, values, times)

    def predict(self, group, new, slot, time, own):
        if new:
            self.begin(group)
        self.time[group] = max(self.time[group], time)
        self.clock[group] = max(self.clock[group], time)
        self.stream_time = max(self.stream_time, time)
        self.expire(group)
        before = self.value(group)
        if self.feature.stat == "target_mean":
            self.tickets[slot] = group, self.life[group]
            return before
        self.count[group] += 1
        if own is not None:
            self.push(group, own)
        self.expire(group)
        return before

    def learn(self, slot, target):
        """The group that the label reached, if any."""
        if self.feature.stat != "target_mean":
            return None
        group, life = self.tickets.pop(slot)
        if self.life[group] != life or math.isnan(target):
            return None
        self.clock[group] = max(self.clock[group], self.stream_time)
        self.count[group] += 1
        self.push(group, target)
        self.expire(group)
        return group


def summary(feature, values, times):
    """The statistic of a list, by the book."""
    stat, n = feature.stat, len(values)
    if stat == "count":
        return float(n)
    if stat == "unique":
        return float(len(set(values)))
    if stat == "rate" and feature.over.duration_ms:
        return n / (feature.over.duration_ms / 1000)
    if n == 0:
        return 0.0 if stat in ("sum", "rate") else math.nan
    if stat == "rate":
        span = (times[-1] - times[0]) / 1000
        return (n - 1) / span if span > 0 else math.nan
    if stat == "var":
        return statistics.variance(values) if n > 1 else math.nan
    if stat == "quantile":
        return float(np.quantile(values, feature.q))
    by_name = {"sum": math.fsum, "mean": statistics.fmean, "target_mean": statistics.fmean, "min": min, "max": max}
    return float(by_name[stat](values)) if stat in by_name else float(values[-1])


class NaiveFeatures:
    """`Features`, one operation at a time."""

    def __init__(self, config):
        self.fields = config.schema.fields
        self.windows = [NaiveWindow(feature, config.engine.max_values) for feature in config.features]
        self.keys = {feature.by: NaiveKeys(config.engine.max_keys) for feature in config.features}
        self.last = {}  # (by, group) → touched

    def columns(self, numbers, categories, key):
        named = {"key": key}
        number, category = iter(range(99)), iter(range(99))
        for name, field in self.fields.items():
            if field.type == "number":
                column = numbers[:, next(number)].tolist()
                named[name] = [None if math.isnan(x) else x for x in column]
            else:
                named[name] = categories[next(category)]
        return named

    def run(self, kind, slot, event, target, time_ms, numbers, categories, key):
        named = self.columns(numbers, categories, key)
        out = np.full((len(time_ms), len(self.windows)), math.nan)
        for what, where, row, label in zip(kind.tolist(), slot.tolist(), event.tolist(), target.tolist(), strict=True):
            if what == PREDICT:
                out[row] = self.predict(where, row, int(time_ms[row]), named)
            elif what == LEARN:
                for window in self.windows:
                    group = window.learn(where, label)
                    if group is not None:
                        self.last[window.feature.by, group] = True
        return out

    def predict(self, slot, row, time, named):
        new = {}
        for by, keys in self.keys.items():
            group = (named[by][row] or "") if by else ""
            new[by] = group, keys.see(group)
            self.last[by, group] = True
        out = []
        for window in self.windows:
            of = window.feature.of
            own = named[of][row] if of else 0.0
            out.append(window.predict(*new[window.feature.by], slot, time, own))
        return out

    def newest(self):
        news = []
        for by, group in self.last:
            if group not in self.keys[by].seen:
                continue
            windows = [window for window in self.windows if window.feature.by == by]
            values = {window.feature.name: window.value(group) for window in windows}
            plain = {name: None if math.isnan(value) else value for name, value in values.items()}
            news.append((by or "", group, windows[0].time[group], plain))
        self.last = {}
        return sorted(news, key=lambda group: group[:2])

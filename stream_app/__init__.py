"""driftline: a streaming drift monitor.

The way of the data:

source log → validate → join → features → score → measure → detect → decide → output log
events,      schema,    late    online,    champion, rolling  detectors policies  predictions, alerts,
labels,      dead       labels  per key    challengers metrics on signals budget   triggers, metrics,
control      letters    by id              learn                         incidents dead letters, audit

`load` reads a configuration, `Pipeline` is one shard's way from records to outputs, `Embedded` runs it over files.
"""

"""What `streamsampler.sampler` is made of: the stages of a batch, and the life of a partition.

A batch is taken in (`intake`), folded (`partition`), judged (`judging`, `deciding`, with `trees`
and `due_spans` for what must be read back) and let out (`emission`); `shedding` decides early under
pressure. `reopening` takes a partition over, `in_force` and `replacing` put other policies into
force, `sums` and `health` say what decided traces come to. No Kafka, no wall clock and no chance
comes in; the shell drives all of it through `Sampler`.
"""

"""The control plane: Faust apps that join what all workers sum up, and publish what follows.

`app` makes an app from the settings, `thresholds`, `rates` and `health` are the three apps,
`shards` keeps what the workers published, `publishing` says on the tables topic what follows.
No trace and no span comes in here, only sums of intervals: a Faust agent takes a hundred times as
long for a record as the workers do. Nothing in `streamsampler` imports this package, but for the
command, when it runs; of `streamsampler` it knows the settings and the mathematics.
"""

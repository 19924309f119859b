"""The worker around the engine: the consumer group, topics, commits, policies, dead letters.

All that speaks to Kafka stands here. Nothing that decides on a trace may come in: that is the
engine's, which knows no Kafka.
"""

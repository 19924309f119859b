"""The worker around the engine: the consumer group, topics, commits, policies, dead letters.

All that speaks to Kafka stands here. Nothing that decides on a trace may come in: that is the
engine's, which knows no Kafka. Others use `worker.run_worker`, `topics.create_topics`,
`policy_topic.publish_policy_set`, `embedded.EmbeddedKafka` and `errors.FailStopError`; they are
imported from their modules, as making a topic should not cost loading the engine.
"""

"""Reading a partition on from an offset.

Not by seeking: librdkafka's seek waits for the leader of the partition, and has been seen to wait
for ever when a broker died meanwhile. A partition that is unassigned and assigned anew at its
offset is read from there as soon as it has a leader, and nobody waits; the group is told nothing.
"""

from confluent_kafka import Consumer, TopicPartition


def read_from(consumer: Consumer, place: TopicPartition) -> None:
    """Let a consumer read an assigned partition from an offset, whether it was paused or not.

    Args:
        consumer: Whose assignment is incremental. What it had fetched of the partition is dropped.
        place: Topic, partition and offset.
    """
    consumer.incremental_unassign([place])
    consumer.incremental_assign([place])
    consumer.resume([place])

"""What a span is: its columns, the scan that fills them, identifiers, trace context, formats.

Everything here turns bytes into columns and columns into bytes. No policy, no trace, no storage,
no Kafka may come in, and nothing of ours is imported from outside this folder.
"""

"""A peer that is not written in Rust: declares and publishes as system C's Go code does, and misbehaves on demand.

usage: peer.py URL declare EXCHANGE QUEUE | mail EXCHANGE | odd QUEUE OTHER | garbled QUEUE |
                   deep QUEUE    (body on stdin)
"""

import datetime
import decimal
import sys

import pika

url, command, *rest = sys.argv[1:]
body = sys.stdin.buffer.read()
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

if command == "declare":
    exchange, queue = rest
    channel.exchange_declare(exchange, exchange_type="fanout", durable=True, auto_delete=False, internal=False)
    channel.queue_declare(queue, durable=True, exclusive=False, auto_delete=False, arguments=None)
    channel.queue_bind(queue, exchange, routing_key="")
elif command == "mail":
    # amqp091-go with ContentType text/plain and nothing else: transient, no id, no headers, no timestamp.
    channel.basic_publish(rest[0], "", body, pika.BasicProperties(content_type="text/plain"))
elif command == "odd":
    queue, other = rest
    death = {"queue": queue, "reason": "expired", "count": 3, "exchange": "", "routing-keys": [queue]}
    headers = {
        "tenant": "blue",
        "retries": 7,
        "big": 2**62,
        "flag": True,
        "price": decimal.Decimal("12.50"),
        "when": datetime.datetime(2026, 11, 21),
        "raw": b"\xff\xfe\x00",
        "nested": {"a": {"b": [1, None, {"c": "d"}]}},
        "nothing": None,
        "x-death": [death] * 400,
        "CC": [other],
    }
    properties = pika.BasicProperties(
        content_type="application/json", type="test.odd", message_id="evt_42", correlation_id="c-1",
        reply_to="answers", app_id="peer", priority=3, timestamp=1700000000, user_id="guest", headers=headers,
        delivery_mode=2,
    )
    channel.basic_publish("", queue, body, properties)
elif command == "garbled":
    properties = pika.BasicProperties(message_id=b"\xff\xfe-id", type="test.echo")
    channel.basic_publish("", rest[0], body, properties)
elif command == "deep":
    sys.setrecursionlimit(50_000)
    headers = {}
    for _ in range(3000):
        headers = {"a": headers}
    channel.basic_publish("", rest[0], body, pika.BasicProperties(type="test.echo", headers=headers))
else:
    sys.exit(f"unknown command {command}")
connection.close()

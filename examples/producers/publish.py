#!/usr/bin/env python3
"""Publishes mails to system C's exchange, byte for byte as C's own Go producer does.

usage: publish.py AMQP_URL --to ADDRESS [--subject TEXT] [--html TEXT] [--reply-to ADDRESS] [--cc ADDRESS ...]
                  [--attach FILE ...] [--spelling pascal|camel|snake] [--count N] [--persistent]
       publish.py AMQP_URL --raw [--count N] [--persistent]        the body comes from standard input as it is

Needs pika (Debian: python3-pika). What Go's producer does and a newcomer would not expect: the content type is
text/plain, there is no message id, and the messages are transient: RabbitMQ drops them when it restarts. With
--persistent they survive that. The routing key is empty, the exchange is a fanout.
"""

import argparse
import base64
import json
import mimetypes
import pathlib
import sys

import pika

EXCHANGE = "smtp_send_email_exc"
SPELLINGS = {
    "pascal": str,
    "camel": lambda name: name[0].lower() + name[1:],
    "snake": lambda name: "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_"),
}


def go_json(value):
    """As Go's encoding/json writes it: no blanks, UTF-8 as it is, <, >, & and the two odd line ends escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def email(args):
    """The EmailData of C's producer: every field, null for a nil slice, Attachments never null."""
    spell = SPELLINGS[args.spelling]
    fields = {
        "Subject": args.subject,
        "Recipient": args.to,
        "Body": args.html,
        "ReplyTo": args.reply_to,
        "CcAddresses": args.cc,
        "Attachments": [attachment(pathlib.Path(name), spell) for name in args.attach],
    }
    return {spell(name): value for name, value in fields.items()}


def attachment(path, spell):
    fields = {
        "Filename": path.name,
        "ContentType": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "Data": base64.b64encode(path.read_bytes()).decode(),
    }
    return {spell(name): value for name, value in fields.items()}


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("url")
    parser.add_argument("--to")
    parser.add_argument("--subject", default="SMAP - OTP VERIFICATION")
    parser.add_argument("--html", default="<p>Hello &amp; welcome</p>")
    parser.add_argument("--reply-to", default="")
    parser.add_argument("--cc", action="append")
    parser.add_argument("--attach", action="append", default=[])
    parser.add_argument("--spelling", choices=SPELLINGS, default="pascal")
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--persistent", action="store_true")
    args = parser.parse_args()
    if bool(args.to) == args.raw:
        parser.error("give either --to or --raw")
    return args


def main():
    args = arguments()
    properties = pika.BasicProperties(content_type="text/plain", delivery_mode=2 if args.persistent else None)
    connection = pika.BlockingConnection(pika.URLParameters(args.url))
    channel = connection.channel()
    if args.persistent:
        channel.confirm_delivery()
    channel.exchange_declare(EXCHANGE, exchange_type="fanout", durable=True)
    raw = sys.stdin.buffer.read() if args.raw else None
    for n in range(args.count):
        body = raw if args.raw else go_json(email(args)).replace(b"{n}", str(n).encode())
        channel.basic_publish(EXCHANGE, "", body, properties)
    connection.close()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Receive a tenant's webhooks, verify who sent them, and print a line of JSON for each job.

    pip install standardwebhooks
    gristmill webhooks set acme --url https://hooks.example.com/gristmill
    python3 receive_webhooks.py whsec_SECRET --port 8000

A message may come more than once, always under the same `webhook-id`; this one answers each and prints it once.
docs/WEBHOOKS.md says what is sent, and what becomes of it.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY = 64 * 1024


def handler(webhook, seen):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            length = int(self.headers.get("content-length", 0))
            if length > MAX_BODY:
                return self.answer(413)
            body = self.rfile.read(length)
            try:
                message = webhook.verify(body, dict(self.headers))
            except WebhookVerificationError as error:
                print(json.dumps({"refused": str(error)}), flush=True)
                return self.answer(401)
            if self.headers["webhook-id"] not in seen:
                seen.add(self.headers["webhook-id"])
                print(json.dumps(message), flush=True)
            self.answer(204)

        def answer(self, status):
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("secret", help="whsec_…, as gristmill webhooks set showed it")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    args = parser.parse_args()
    server = ThreadingHTTPServer((args.host, args.port), handler(Webhook(args.secret), set()))
    print(json.dumps({"listening": f"http://{args.host}:{server.server_port}/"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

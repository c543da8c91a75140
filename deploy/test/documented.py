#!/usr/bin/env python3
"""documented.py DEPLOY.MD FILES…: every metric in the files (Prometheus text) has a row in the page's table, and what has a row was
measured; only families whose series begin with their first event, or that belong to what this system has not (brokers, an RPC
source), may be missing."""
import gzip, re, sys

page = sys.argv[1]
text = (gzip.open if page.endswith(".gz") else open)(page, "rt").read()
rows = dict(re.findall(r"^\| `(mythic_[a-z_]+)(?:\{[a-z_,]*\})?` \| ([a-z]+)", text, re.M))
live = {}
for name in sys.argv[2:]:
    live |= dict(re.findall(r"^# TYPE (mythic_[a-z_]+) ([a-z]+)", open(name).read(), re.M))
wrong = [f"{name} has no row" for name in live.keys() - rows.keys()]
wrong += [f"{name} is a {live[name]}, its row says {kind}" for name, kind in rows.items() if live.get(name, kind) != kind]
later = {"mythic_gateway_credit_payments_total", "mythic_provider_requests_declined_total", "mythic_settler_cranks_total", "mythic_node_requests_refused_total"}
later |= {"mythic_indexer_relay_trouble", "mythic_indexer_rpc_errors_total", "mythic_indexer_heals_total", "mythic_node_kafka_trouble"}
elsewhere = ("mythic_devnet_", "mythic_plugin_forward_", "mythic_bot_")
wrong += [f"{name} has a row and was not measured" for name in rows.keys() - live.keys() - later if not name.startswith(elsewhere)]
if wrong or len(live) < 50:
    sys.exit("\n".join(sorted(wrong)) or f"{len(live)} metrics")
print(f"{len(live)} metrics are measured, each with a row")

//! NATS JetStream and Redis: topology, publisher, consumer, deliveries, outcomes. The only crate that speaks to either.

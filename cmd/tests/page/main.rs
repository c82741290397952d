//! What an operator looks at: the metrics as Prometheus reads them.

mod metrics;
mod place;

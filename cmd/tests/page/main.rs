//! What an operator looks at: the metrics as Prometheus reads them, the alerts, the dashboard.

mod metrics;
mod place;
mod prometheus;

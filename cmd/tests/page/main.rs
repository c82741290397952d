//! What an operator looks at: the metrics as Prometheus reads them, the alerts, the dashboard, the page, the traces.

mod browser;
mod inspector;
mod looks;
mod metrics;
mod place;
mod prometheus;
mod trace;

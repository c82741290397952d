//! The families of metrics: each is made, registered, and kept as a row for the documentation.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Upper bounds, in seconds, of what takes a moment.
pub(super) const SECOND: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];
/// Upper bounds, in seconds, of what takes minutes at most.
pub(super) const HOUR: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];
/// Upper bounds, in seconds, of what may take a day.
pub(super) const DAY: &[f64] = &[
    0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0,
];

const SOUND: &str = "names are constants, valid and unique";

/// What kind of metric a family is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is as it is now.
    Gauge,
    /// It is a distribution of seconds.
    Histogram,
}

impl Kind {
    /// Returns the word of the text format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What the documentation says of one family.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What kind of metric it is.
    pub kind: &'static str,
    /// Its labels.
    pub labels: Vec<&'static str>,
    /// What it counts.
    pub help: &'static str,
}

/// Makes families and registers them. Names, help texts and labels are constants: an error is a bug here.
#[derive(Default)]
pub(super) struct Families {
    pub(super) registry: Registry,
    rows: Vec<Row>,
}

impl Families {
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &'static str) -> IntCounter {
        self.note(name, Kind::Counter, help, &[]);
        self.registered(IntCounter::new(name, help))
    }

    pub(super) fn counters(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[&'static str],
    ) -> IntCounterVec {
        self.note(name, Kind::Counter, help, labels);
        self.registered(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str) -> IntGauge {
        self.note(name, Kind::Gauge, help, &[]);
        self.registered(IntGauge::new(name, help))
    }

    pub(super) fn gauges(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[&'static str],
    ) -> IntGaugeVec {
        self.note(name, Kind::Gauge, help, labels);
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn histogram(&mut self, name: &'static str, help: &'static str, bounds: &[f64]) -> Histogram {
        self.note(name, Kind::Histogram, help, &[]);
        self.registered(Histogram::with_opts(buckets(name, help, bounds)))
    }

    pub(super) fn histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[&'static str],
        bounds: &[f64],
    ) -> HistogramVec {
        self.note(name, Kind::Histogram, help, labels);
        self.registered(HistogramVec::new(buckets(name, help, bounds), labels))
    }

    fn note(&mut self, name: &'static str, kind: Kind, help: &'static str, labels: &[&'static str]) {
        self.rows.push(Row {
            name,
            kind: kind.name(),
            labels: labels.to_vec(),
            help,
        });
    }

    fn registered<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect(SOUND);
        self.registry.register(Box::new(metric.clone())).expect(SOUND);
        metric
    }

    /// Adds `process_*`, which are read from `/proc`.
    #[cfg(target_os = "linux")]
    pub(super) fn process(&self) {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        self.registry.register(Box::new(process)).expect(SOUND);
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn process(&self) {}
}

fn buckets(name: &str, help: &str, bounds: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(bounds.to_vec())
}

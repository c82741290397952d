//! `job-worker check`: what the daemon would meet, with what to do about it.
//!
//! It looks and never writes: no key, no object, no callback. Each part finds; this file only asks and shows.

mod finding;
mod kubernetes;
mod redis;
mod webhook;

use std::process::ExitCode;

use crate::config::Config;
use crate::exit::{EX_CONFIG, FAILURE};
use crate::print;
use finding::{Finding, Level};

/// What to look at beside what the configuration names, and how to show it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Looks whether callbacks to this URL would get through; connects, and sends nothing.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// A namespace that messages will name; may be given more than once.
    #[arg(long = "namespace", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
}

/// Looks at everything and prints what it found. 0: nothing fails; 1: something does; 78: the configuration is refused.
pub(crate) fn check(arguments: &Arguments) -> ExitCode {
    let (findings, code) = match Config::load(std::env::vars_os()) {
        Ok(config) => {
            let findings = look(arguments, &config);
            let fails = findings.iter().any(|finding| finding.level == Level::Fail);
            (findings, if fails { FAILURE } else { 0 })
        }
        Err(faults) => {
            let findings = faults
                .iter()
                .map(|fault| Finding::fail("configuration", fault, "job-worker --help lists every variable"))
                .collect();
            (findings, EX_CONFIG)
        }
    };
    let text = if arguments.json {
        finding::json(&findings)
    } else {
        finding::table(&findings)
    };
    print::to_stdout(&text, ExitCode::from(code))
}

fn look(arguments: &Arguments, config: &Config) -> Vec<Finding> {
    let mut findings = configuration(config);
    findings.extend(redis::queue(config));
    findings.extend(redis::store(config));
    findings.extend(kubernetes::findings(config, &arguments.namespaces));
    if let Some(url) = &arguments.webhook {
        findings.push(webhook::finding(config, url));
    }
    findings
}

fn configuration(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = config
        .warnings
        .iter()
        .map(|warning| Finding::new("configuration", Level::Warn, warning))
        .collect();
    if findings.is_empty() {
        findings.push(Finding::new(
            "configuration",
            Level::Ok,
            "every variable obeys its rule",
        ));
    }
    if config.webhook.signing.is_none() {
        let finding = Finding::new("signatures", Level::Info, "callbacks are not signed");
        findings.push(finding.advise("WEBHOOK_SIGNING_SECRET_FILE names a file with whsec_ secrets"));
    }
    findings
}

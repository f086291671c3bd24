//! Whose word is held to the limits: the detector's where a collector's judges that roll-out, else a comparison's.

use std::path::Path;

use anyhow::bail;
use appweight::api::{Comparison, DeployReport, DeployStatus, Detected, DetectedVerdict, Metric};
use appweight::compare::{Question, compare};
use appweight::gate::{GateLine, Subject, gate, gate_detected};
use appweight::thresholds::Thresholds;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::records;
use crate::args::{Gate, MetricName};

/// Who judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Judge {
    /// The collector's detector.
    Detector,
    /// A comparison of the cells of both deploys.
    Comparison,
}

/// What was said of two deploys.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Why the detector does not judge, or what it rests on; empty if nobody asked it.
    pub(super) because: String,
    pub(super) service: String,
    pub(super) base: String,
    pub(super) head: String,
    /// Where the detector judges it tells the means, and may be missing.
    pub(super) comparison: Option<Comparison>,
    /// There if the detector judges.
    pub(super) detected: Option<Detected>,
}

impl Evidence {
    /// What a collector says.
    pub(super) fn of_collector(options: &Gate, metric: Option<MetricName>) -> anyhow::Result<Self> {
        let (Some(base), Some(head)) = (&options.base, &options.head) else {
            bail!(
                "which deploys? Name them by --base and --head, or their files by --base-file and --head-file"
            );
        };
        let client = options.at.client()?;
        let service = options.service.as_deref().map(|name| ("service", name));
        let of_service: Vec<(&str, &str)> = service.into_iter().collect();
        let path = utf8_percent_encode(head, NON_ALPHANUMERIC);
        let report: DeployReport = client.get(&format!("/v1/deploys/{path}"), &of_service)?;
        let because = match detected(report, base, metric) {
            Ok(evidence) => return Ok(evidence),
            Err(because) => because,
        };
        let mut query = vec![("base", base.as_str()), ("head", head.as_str())];
        query.extend(of_service);
        if let Some(metric) = metric {
            query.push(("metric", metric.as_str()));
        }
        Ok(Self::compared(client.get("/v1/compare", &query)?, because))
    }

    /// What a comparison of two files says.
    pub(super) fn of_files(
        options: &Gate,
        base: &Path,
        head: &Path,
        metric: Option<MetricName>,
    ) -> anyhow::Result<Self> {
        let service = options.service.as_deref();
        let mut before = records::read(base, options.base.as_deref(), service)?;
        let mut after = records::read(head, options.head.as_deref(), service)?;
        if before.service != after.service {
            bail!(
                "{} is of service {}, {} of {}: only one service can be compared with itself",
                base.display(),
                before.service,
                head.display(),
                after.service
            );
        }
        if before.deploy == after.deploy {
            // The same code measured twice, or nobody named it: the files tell them apart.
            for (side, path) in [(&mut before, base), (&mut after, head)] {
                side.deploy = format!("{} ({})", side.deploy, path.display());
                for cell in &mut side.cells {
                    cell.deploy.clone_from(&side.deploy);
                }
            }
        }
        let question = Question {
            service: &before.service,
            base: &before.deploy,
            head: &after.deploy,
            metric: metric.map(metric_of),
        };
        let mut cells = before.cells;
        cells.append(&mut after.cells);
        let comparison = compare(question, &cells, &[], &Thresholds::default())?;
        Ok(Self::compared(comparison, String::new()))
    }

    pub(super) fn compared(comparison: Comparison, because: String) -> Self {
        Self {
            because,
            service: comparison.service.clone(),
            base: comparison.base.clone(),
            head: comparison.head.clone(),
            comparison: Some(comparison),
            detected: None,
        }
    }

    pub(super) fn judge(&self) -> Judge {
        match self.detected {
            Some(_) => Judge::Detector,
            None => Judge::Comparison,
        }
    }

    /// What is said of one subject; `None` if it did not serve under both deploys.
    pub(super) fn line(
        &self,
        subject: &Subject,
        max_increase: f64,
        confidence: f64,
    ) -> Option<GateLine> {
        match (&self.detected, &self.comparison) {
            (Some(detected), _) => gate_detected(detected, subject, max_increase, confidence),
            (None, Some(comparison)) => gate(comparison, subject, max_increase, confidence),
            (None, None) => None,
        }
    }

    /// The endpoints of which something is said.
    pub(super) fn endpoints(&self) -> Vec<&str> {
        match (&self.detected, &self.comparison) {
            (Some(detected), _) => {
                let all = detected.endpoints.iter();
                all.filter_map(|said| said.endpoint.as_deref()).collect()
            }
            (None, Some(comparison)) => {
                let all = comparison.endpoints.iter();
                all.map(|compared| compared.endpoint.as_str()).collect()
            }
            (None, None) => Vec::new(),
        }
    }

    /// The endpoints that the detector says became heavier.
    pub(super) fn called(&self) -> Vec<&str> {
        let all = self.detected.iter().flat_map(|said| &said.endpoints);
        let called = all.filter(|said| said.verdict == DetectedVerdict::Regressed);
        called.filter_map(|said| said.endpoint.as_deref()).collect()
    }
}

/// What the detector says, if it is the judge of this; else why it is not. While it watches and has not spoken yet it is all the
/// same: what a comparison says meanwhile it may contradict.
pub(super) fn detected(
    report: DeployReport,
    base: &str,
    metric: Option<MetricName>,
) -> Result<Evidence, String> {
    let Some(detected) = report.detected else {
        return Err(String::new());
    };
    let deploy = report.summary.deploy;
    let is_over = report.summary.status == DeployStatus::Judged;
    if !detected.judges && (is_over || !detected.watches) {
        return Err(detected.because);
    }
    let replaced = deploy.replaced.unwrap_or_default();
    if replaced != base {
        return Err(format!("{} replaced {replaced}", deploy.id));
    }
    if let (Some(asked), Some(judged)) = (metric.map(metric_of), detected.metric)
        && asked != judged
    {
        let judged = appweight::text::metric_name(judged);
        return Err(format!("it judges {judged}"));
    }
    Ok(Evidence {
        because: detected.because.clone(),
        service: deploy.service,
        base: replaced,
        head: deploy.id,
        comparison: report.comparison,
        detected: Some(detected),
    })
}

fn metric_of(name: MetricName) -> Metric {
    match name {
        MetricName::Instructions => Metric::Instructions,
        MetricName::Cpu => Metric::Cpu,
    }
}

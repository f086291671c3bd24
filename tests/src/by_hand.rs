use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::{Answer, put};

/// A client written from `docs/wire.md`: it knows neither the wire crate nor the agent.
#[derive(Debug, Clone)]
pub struct ByHand {
    collector: String,
    source: Uuid,
    sequence: u64,
    service: String,
    deploy: String,
    host: String,
}

impl ByHand {
    /// A process of that service.
    #[must_use]
    pub fn new(collector: &str, service: &str, deploy: &str, host: &str) -> Self {
        Self {
            collector: collector.to_owned(),
            source: Uuid::new_v4(),
            sequence: 0,
            service: service.to_owned(),
            deploy: deploy.to_owned(),
            host: host.to_owned(),
        }
    }

    /// One that is the same source at every call, so that its batches are, too.
    #[must_use]
    pub fn again(mut self, name: &str) -> Self {
        self.source = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
        self
    }

    /// The same process, at another collector.
    #[must_use]
    pub fn to(mut self, collector: &str) -> Self {
        collector.clone_into(&mut self.collector);
        self
    }

    /// The next batch as JSON, with these request records alone.
    #[must_use]
    pub fn batch(&mut self, requests: &[Value]) -> Value {
        let sequence = self.sequence;
        self.sequence += 1;
        json!({
            "version": 1,
            "source": self.source.to_string(),
            "sequence": sequence,
            "origin": {"service": self.service, "deploy": self.deploy, "host": self.host},
            "content": "requests",
            "cell_width_us": 1_000_000,
            "requests": requests,
        })
    }

    /// The id of one of its batches.
    #[must_use]
    pub fn id(&self, sequence: u64) -> Uuid {
        Uuid::new_v5(&self.source, sequence.to_string().as_bytes())
    }

    /// Where that batch is put.
    #[must_use]
    pub fn url(&self, batch: &Value) -> String {
        let sequence = batch["sequence"].as_u64().expect("a batch has a number");
        format!("{}/v1/batches/{}", self.collector, self.id(sequence))
    }

    /// Sends a batch as JSON.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn send(&self, batch: &Value) -> Result<Answer, String> {
        put(
            &self.url(batch),
            "application/json",
            batch.to_string().as_bytes(),
        )
    }

    /// One request's record.
    #[must_use]
    pub fn request(start_us: u64, endpoint: &str, cpu_ns: u64) -> Value {
        json!({
            "start_us": start_us,
            "endpoint": endpoint,
            "weight": 1,
            "wall_ns": 2 * cpu_ns,
            "cpu_ns": cpu_ns,
            "status": 200,
        })
    }
}

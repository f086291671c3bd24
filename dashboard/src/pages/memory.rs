use appweight::api::MemoryComparison;
use maud::{Markup, html};

use super::comparison::gates;
use crate::format;
use crate::look::Look;

/// How fast resident memory grows under both deploys.
pub(super) fn render(memory: &MemoryComparison) -> Markup {
    let (look, sentence) = if memory.leaks {
        (
            Look::Heavier,
            "Resident memory grows with every request, and did not before.",
        )
    } else if memory.leak_gone {
        (Look::Lighter, "A leak of the deploy before is gone.")
    } else {
        (Look::Same, "No leak could be told from noise.")
    };
    html! {
        section.panel #memory {
            div.panel-head { h2 { "Memory" } (look.badge()) }
            p { (sentence) }
            dl.how {
                dt { "Growth per request" }
                dd {
                    (format::bytes(memory.before_bytes_per_request)) " before, "
                    strong { (format::bytes(memory.after_bytes_per_request)) } " after"
                }
                dt { "Difference" }
                dd {
                    "between " (format::bytes(memory.low)) " and " (format::bytes(memory.high))
                    " at a confidence of " (format::confidence(memory.confidence))
                }
                dt { "Processes" }
                dd { (memory.processes.0) " before, " (memory.processes.1) " after, at equal age" }
            }
            (gates("gates-memory", &memory.gates))
        }
    }
}

//! `corten plan`: what would be done, step by step, for a person and for a program.

use std::fmt::Write;

use serde_json::{Value, json};

use super::step::Step;
use super::{Plan, Preparation};

fn preparation(preparation: &Preparation) -> String {
    match preparation {
        Preparation::OpenNamespace { kind, path } => format!("open {} namespace {path:?}", kind.name()),
        Preparation::CopyTree(copy) => {
            let mapped = if copy.id_map.is_some() { " with mapped ids" } else { "" };
            format!("copy mount tree {:?}{mapped}", copy.path)
        }
        Preparation::Given(given) => match given {
            super::Given::Console => "connect to the console socket".to_owned(),
            super::Given::StartGate => "make the start gate".to_owned(),
            super::Given::StartReport => "make the start report".to_owned(),
            super::Given::Container => "open the container's process".to_owned(),
        },
    }
}

fn program(plan: &Plan) -> Vec<String> {
    plan.program.arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// For a person: a line a step. `cgroup` is what is done for the container's cgroup.
pub fn text(plan: &Plan, cgroup: &[String]) -> String {
    let mut text = String::new();
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{title}:");
            for (index, line) in lines.iter().enumerate() {
                let _ = writeln!(text, "{:>4}  {line}", index + 1);
            }
        }
    };
    section("warnings", plan.warnings.clone());
    section("cgroup", cgroup.to_vec());
    section("before the clone", plan.preparations.iter().map(preparation).collect());
    section("on the way in", plan.entry.between.iter().map(Step::to_string).collect());
    section("parent", parent(plan));
    section("init", plan.steps.iter().map(Step::to_string).collect());
    let _ = writeln!(text, "program: {:?}", program(plan));
    text
}

/// What the parent does beside init.
fn parent(plan: &Plan) -> Vec<String> {
    let mut lines = vec![Step::CloneInit(plan.entry.clone).to_string()];
    if let Some(maps) = &plan.entry.id_maps {
        lines.push(format!("map {} ranges of uids and {} of gids", maps.uids.len(), maps.gids.len()));
    }
    lines.extend(plan.oom_score.map(|score| Step::OomScore(score).to_string()));
    lines.extend(
        plan.network_devices.iter().map(|(name, inside)| format!("move network device {name:?} in as {inside:?}")),
    );
    lines.extend(
        plan.limits.iter().map(|limit| format!("limit {} to {} (hard {})", limit.name, limit.soft, limit.hard)),
    );
    lines
}

/// For a program.
pub fn json(plan: &Plan, cgroup: &[String]) -> Value {
    let texts = |steps: &[Step]| steps.iter().map(Step::to_string).collect::<Vec<_>>();
    json!({
        "warnings": plan.warnings,
        "cgroup": cgroup,
        "preparations": plan.preparations.iter().map(preparation).collect::<Vec<_>>(),
        "entry": texts(&plan.entry.between),
        "parent": parent(plan),
        "init": texts(&plan.steps),
        "program": program(plan),
    })
}

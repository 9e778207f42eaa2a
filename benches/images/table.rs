//! All costs as one table.

use std::fmt;

use crate::cost::Cost;
use crate::engine::Engine;

/// What each job cost each of the engines.
pub(crate) struct Table {
    names: Vec<&'static str>,
    rows: Vec<(String, Vec<Vec<Cost>>)>,
}

impl Table {
    pub(crate) fn new(engines: &[Engine]) -> Table {
        Table { names: engines.iter().map(Engine::name).collect(), rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, job: String, costs: Vec<Vec<Cost>>) {
        self.rows.push((job, costs));
    }
}

/// What lies in the middle, and what is least.
fn of(costs: &[Cost], what: impl Fn(&Cost) -> f64) -> (f64, f64) {
    let mut all: Vec<f64> = costs.iter().map(what).collect();
    all.sort_by(f64::total_cmp);
    (all.get(all.len() / 2).copied().unwrap_or(f64::NAN), all.first().copied().unwrap_or(f64::NAN))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<22} {:<13} {:>7} {:>7} {:>8} {:>7} {:>7} {:>7} {:>9}",
            "seconds", "", "wall", "least", "to ctn's", "CPU", "least", "to ctn's", "peak, MiB"
        )?;
        for (job, costs) in &self.rows {
            let own = costs.first().map(|own| (of(own, wall).0, of(own, cpu).0));
            for (name, costs) in self.names.iter().zip(costs).filter(|(_, costs)| !costs.is_empty()) {
                let ((wall, least_wall), (cpu, least_cpu)) = (of(costs, wall), of(costs, cpu));
                let (own_wall, own_cpu) = own.unwrap_or((f64::NAN, f64::NAN));
                let peak = of(costs, |cost| cost.peak as f64 / 1024.0).0;
                writeln!(
                    f,
                    "{job:<22} {name:<13} {wall:>7.2} {least_wall:>7.2} {:>8.2} {cpu:>7.2} {least_cpu:>7.2} {:>7.2} {peak:>9.0}",
                    wall / own_wall,
                    cpu / own_cpu,
                )?;
            }
        }
        Ok(())
    }
}

fn wall(cost: &Cost) -> f64 {
    cost.wall.as_secs_f64()
}

fn cpu(cost: &Cost) -> f64 {
    cost.cpu.as_secs_f64()
}

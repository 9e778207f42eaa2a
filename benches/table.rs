//! The times of all runtimes as a table.

use std::fmt;
use std::time::Duration;

use crate::runtime::{OPERATIONS, Runtime};

/// Every time that was taken: by operation, then by runtime.
pub(crate) struct Table {
    names: Vec<&'static str>,
    times: Vec<Vec<Vec<Duration>>>,
}

impl Table {
    pub(crate) fn new(runtimes: &[Runtime]) -> Self {
        let names: Vec<_> = runtimes.iter().map(|runtime| runtime.name).collect();
        Self { times: vec![vec![Vec::new(); names.len()]; OPERATIONS.len()], names }
    }

    /// One round of one runtime.
    pub(crate) fn add(&mut self, runtime: usize, times: [Duration; OPERATIONS.len()]) {
        for (operation, time) in self.times.iter_mut().zip(times) {
            operation[runtime].push(time);
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<10} {:<8} {:>8} {:>8} {:>8}   of crun's", "", "", "median", "min", "p90")?;
        let crun = self.names.iter().position(|name| *name == "crun");
        for (operation, times) in OPERATIONS.iter().zip(&self.times) {
            let reference = crun.map(|number| milliseconds(&times[number], 50));
            for (name, times) in self.names.iter().zip(times) {
                let [median, least, most] = [50, 0, 90].map(|percent| milliseconds(times, percent));
                write!(f, "{operation:<10} {name:<8} {median:>8.2} {least:>8.2} {most:>8.2}")?;
                match reference {
                    Some(reference) => writeln!(f, "   {:.2}", median / reference)?,
                    None => writeln!(f)?,
                }
            }
        }
        Ok(())
    }
}

/// The time that this many of a hundred don't exceed.
fn milliseconds(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len().saturating_sub(1) * percent).div_ceil(100);
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

//! A case as the test harness knows it: passed, failed, or skipped for a reason that is printed.

use std::fmt;
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use libtest_mimic::{Completion, Failed, Trial};

/// A case: something is done with an engine, and looked at.
pub(crate) type Case<E> = fn(&E) -> Result<()>;

/// The reason why a case can't be run here.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// An engine that is started when the first case needs it, and ends when the last one is done with it.
pub(crate) struct Engine<E> {
    start: Box<dyn Fn() -> Result<E> + Send + Sync>,
    started: OnceLock<Result<E>>,
}

impl<E> Engine<E> {
    pub(crate) fn new(start: impl Fn() -> Result<E> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { start: Box::new(start), started: OnceLock::new() })
    }

    fn get(&self) -> Result<&E> {
        self.started.get_or_init(&self.start).as_ref().map_err(|error| match error.downcast_ref::<Skip>() {
            Some(Skip(reason)) => Skip(reason.clone()).into(),
            None => anyhow::anyhow!("{error:#}"),
        })
    }
}

/// The case as a trial of this engine.
pub(crate) fn trial<E: Send + Sync + 'static>(
    group: &str,
    name: &str,
    engine: &Arc<Engine<E>>,
    case: Case<E>,
) -> Trial {
    let engine = Arc::clone(engine);
    Trial::ignorable_test(format!("{group}::{name}"), move || completion(engine.get().and_then(case)))
}

/// What a result means to the test harness.
pub(crate) fn completion(result: Result<()>) -> Result<Completion, Failed> {
    match result {
        Ok(()) => Ok(Completion::Completed),
        Err(error) => match error.downcast_ref::<Skip>() {
            Some(Skip(reason)) => Ok(Completion::ignored_with(reason)),
            None => Err(format!("{error:#}").into()),
        },
    }
}

/// The cases, each under its function's name.
macro_rules! cases {
    ($($name:ident),* $(,)?) => { vec![$((stringify!($name), $name as _)),*] };
}
pub(crate) use cases;

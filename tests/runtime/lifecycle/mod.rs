//! create, start, state, kill, delete, run, list, ps, pause and resume: the life of a container.

mod create;
mod delete;
mod kill;
mod pause;
mod run;
mod state;
mod traces;

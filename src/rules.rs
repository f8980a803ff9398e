//! What is done about events and at times. Who is concerned by an event is said before
//! its commit ([`Rules`]), what is owed is written in it, and one task a rule delivers
//! it afterwards: at least once, each under one id.

mod act;
mod book;
mod deliver;
pub mod exec;
mod outcome;
mod run;
mod schedule;
pub mod script;
mod values;
pub mod webhook;

pub use book::Rules;
pub use deliver::{Around, Here, Signals};
pub use outcome::{Delivery, Outcome};
pub use run::{Acting, Deed, Ready, Task};

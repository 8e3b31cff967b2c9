//! The scheduler: a pure state machine that decides which worker runs which tasks.
//!
//! Events go in, with the time; actions come out. It knows no clock, no randomness, no sockets and no payloads,
//! and it cannot: this crate has no dependencies.

mod action;
mod event;

pub use action::Action;
pub use event::{BatchId, Event, JobId, JobOptions, Time, WorkerId};
/// tmp
#[derive(Default)] pub struct Config; 
/// tmp
pub struct Scheduler;
impl Scheduler { 
/// tmp
pub fn new(_c: Config)->Self{Self} 
/// tmp
pub fn handle(&mut self,_n:Time,_e:Event,_a:&mut Vec<Action>){} 
/// tmp
pub fn running(&self,_j:JobId)->u64{0} }

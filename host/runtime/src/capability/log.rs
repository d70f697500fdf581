//! `log`: lines for the owner.

use crate::bindings::log::{Host, Level as WitLevel};
use crate::guest::State;
use crate::log::Level;

impl Host for State {
    fn write(&mut self, level: WitLevel, message: String, fields: Vec<(String, String)>) {
        let level = match level {
            WitLevel::Trace => Level::Trace,
            WitLevel::Debug => Level::Debug,
            WitLevel::Info => Level::Info,
            WitLevel::Warn => Level::Warn,
            WitLevel::Error => Level::Error,
        };
        self.log.write(level, &message, &fields);
    }
}

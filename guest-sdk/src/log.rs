//! The owner's log: levels, and a macro for each.

use std::fmt::Display;

use crate::context::Host;

/// The owner's log, which is all that a transform may reach: [`info!`](crate::info!) and its like take it where they
/// take a handler's [`Context`](crate::Context).
pub struct Log {
    host: Host,
}

impl Log {
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn new(host: Host) -> Self {
        Self { host }
    }

    /// Writes one line, kept with the request.
    pub fn log(&self, level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
        self.host.log(level, message, fields);
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Log {
    /// A log for tests: it records instead of calling a host.
    #[must_use]
    pub fn test() -> Self {
        Self { host: Host::default() }
    }

    /// What was logged so far.
    #[must_use]
    pub fn recorded(&self) -> &Host {
        &self.host
    }
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step, for the one who is looking for something.
    Trace,
    /// What helps to understand a run.
    Debug,
    /// What a run did.
    Info,
    /// It went on, but somebody should look.
    Warn,
    /// It did not go on.
    Error,
}

/// Writes one line at a level: `log!(ctx, Level::Info, field = value, "message {}", argument)`.
///
/// Fields are optional; their values need `Display`, and are found again by their name.
///
/// ```
/// use ripost_sdk::{Context, Level};
///
/// let ctx = Context::test();
/// let rows = 3;
/// ripost_sdk::log!(ctx, Level::Info, rows = rows, kind = "sales", "made {rows} rows");
/// assert_eq!(ctx.recorded().logs()[0].fields[1], ("kind".to_owned(), "sales".to_owned()));
/// ```
#[macro_export]
macro_rules! log {
    ($ctx:expr, $level:expr, $($name:ident = $value:expr,)* $format:literal $(, $($argument:tt)*)?) => {
        $ctx.log(
            $level,
            &::std::format!($format $(, $($argument)*)?),
            &[$((::std::stringify!($name), &$value as &dyn ::std::fmt::Display)),*],
        )
    };
}

/// Logs at [`Level::Trace`]: see [`log!`](crate::log!).
#[macro_export]
macro_rules! trace {
    ($ctx:expr, $($line:tt)+) => { $crate::log!($ctx, $crate::Level::Trace, $($line)+) };
}

/// Logs at [`Level::Debug`]: see [`log!`](crate::log!).
#[macro_export]
macro_rules! debug {
    ($ctx:expr, $($line:tt)+) => { $crate::log!($ctx, $crate::Level::Debug, $($line)+) };
}

/// Logs at [`Level::Info`]: see [`log!`](crate::log!).
///
/// ```
/// # let ctx = ripost_sdk::Context::test();
/// # let rows = 50_000;
/// ripost_sdk::info!(ctx, "made the data set");
/// ripost_sdk::info!(ctx, rows = rows, "made {} rows", rows);
/// # assert_eq!(ctx.recorded().logs()[1].message, "made 50000 rows");
/// ```
#[macro_export]
macro_rules! info {
    ($ctx:expr, $($line:tt)+) => { $crate::log!($ctx, $crate::Level::Info, $($line)+) };
}

/// Logs at [`Level::Warn`]: see [`log!`](crate::log!).
#[macro_export]
macro_rules! warn {
    ($ctx:expr, $($line:tt)+) => { $crate::log!($ctx, $crate::Level::Warn, $($line)+) };
}

/// Logs at [`Level::Error`]: see [`log!`](crate::log!).
#[macro_export]
macro_rules! error {
    ($ctx:expr, $($line:tt)+) => { $crate::log!($ctx, $crate::Level::Error, $($line)+) };
}

#[cfg(test)]
mod tests {
    use crate::{Context, Level};

    #[test]
    fn each_macro_logs_at_its_own_level() {
        let ctx = &Context::test();
        crate::trace!(ctx, "a");
        crate::debug!(ctx, n = 1, "b");
        crate::info!(ctx, "c {}", 2);
        crate::warn!(ctx, n = 1, m = 2.5, "d {} {}", 3, "x");
        crate::error!(ctx, "e");
        let logs = ctx.recorded().logs();
        let levels: Vec<Level> = logs.iter().map(|line| line.level).collect();
        assert_eq!(levels, [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error]);
        assert_eq!(logs[3].message, "d 3 x");
        assert_eq!(logs[3].fields, [("n".to_owned(), "1".to_owned()), ("m".to_owned(), "2.5".to_owned())]);
    }
}

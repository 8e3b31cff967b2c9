//! What poolmap tells about its inner workings.

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Off,
    Error,
    #[default]
    Warn,
    Info,
    Debug,
}

impl Level {
    /// The word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Sends what is told to standard error.
pub(crate) fn start(level: Level) {
    let filter = match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let log =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(filter).with_target(false);
    // A program that uses this library may have a log of its own: then that one is used.
    let _already_set = log.compact().try_init();
}

//! The recorder: takes exchanges from the spool and makes a record file and a usage event of each; what clients tell beside
//! them, in telemetry and about the account, goes to the store alone.
//!
//! It knows Copilot and no sockets, and runs on a thread of its own: it may fall behind, fail or be restarted without a
//! developer noticing. Everything it does is idempotent by exchange id, because after a crash the spool hands out again
//! what was not settled.
//!
//! ```text
//! intake    exchange -> spool                      (called by the proxy; some are understood here)
//! worker    spool -> booking -> settle             (a thread, with the faults that hold it up)
//! booking   notices -> store; exchanges: understand -> record file -> store
//! pending     completions that nobody saw yet; a notice that one was shown makes it a turn
//! samples     what was not recognised -> logs/unrecognised
//! days        store -> logs/metrics/copilot-usage_<day>.json
//! rollups     store -> its roll-ups, for reports
//! sweep     old record files -> archives -> nothing  (now and then)
//! forgetting  a person out of records, day files and store            (by hand)
//! rebuild   record files -> store -> day files     (by hand, and where the store is new)
//! legacy    a legacy add-on's folder -> record files and store     (by hand)
//! ```

mod archive;
mod booking;
mod compaction;
mod days;
mod editors;
mod fault;
mod files;
mod forgetting;
mod intake;
mod legacy;
mod pending;
mod privacy;
mod rebuild;
mod record;
mod retention;
mod rollups;
mod samples;
mod understanding;
mod worker;

pub use days::DayFiles;
pub use files::{FileError, RecordFiles};
pub use forgetting::{ForgetError, Forgotten, forget};
pub use intake::Intake;
pub use legacy::{Import, ImportError, Imported, LeftOut};
pub use rebuild::{RebuildError, Rebuilt, rebuild};
pub use record::Record;
pub use retention::{Swept, sweep};
pub use rollups::refresh_all;
pub use worker::{Recorder, RunningRecorder, stand_back};

pub use crate::spool::Ack;

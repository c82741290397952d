//! Webhooks.
mod body;
mod guard;
mod id;
mod receiver;
mod retry_after;
pub mod sign;
pub use self::body::*;
pub use self::guard::*;
pub use self::id::*;
pub use self::receiver::*;
pub use self::retry_after::*;

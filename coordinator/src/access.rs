//! Who gets in: the cluster's certificate authority, the access files it makes, and which of them count.
//!
//! Nothing here touches a connection; `listen` asks `Gate` whom a certificate belongs to.

mod advertise;
mod authority;
mod folder;
mod gate;

pub use self::advertise::advertised;
pub use self::authority::{Authority, AuthorityError};
pub use self::folder::{Folder, FolderError};
pub(crate) use self::gate::Gate;

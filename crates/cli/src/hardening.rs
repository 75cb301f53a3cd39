//! Before any key is read: nobody but root may look into this process, and it leaves no core behind.

use anyhow::{Context, bail};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior,
    setrlimit, umask,
};
use std::{os::unix::fs::PermissionsExt, path::Path};

/// Makes the process undumpable, and files that it makes private.
///
/// # Errors
/// When the operating system does not do as asked: then nothing secret may be read.
pub(crate) fn begin() -> anyhow::Result<()> {
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).context("the limit of core files could not be set to 0")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("the process could not be made undumpable")?;
    let is_set = dumpable_behavior()? == DumpableBehavior::NotDumpable
        && getrlimit(Resource::Core).current == Some(0);
    if !is_set {
        bail!("the process can be dumped, so no key may be read; look at what contains it");
    }
    Ok(())
}

/// Refuses a data folder that others may look into.
pub(crate) fn check_folder(folder: &Path) -> anyhow::Result<()> {
    let mode = std::fs::metadata(folder)
        .with_context(|| format!("data_dir: {} could not be looked at", folder.display()))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        bail!(
            "data_dir: others may look into {0}; run `chmod 700 {0}` and start again",
            folder.display()
        );
    }
    Ok(())
}

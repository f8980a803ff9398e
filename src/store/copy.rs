//! A copy of a state, to look with and to throw away. The original is only read, and
//! its tokens never leave it: a refresh would spend those that a daemon lives by.

use std::path::Path;

use super::file::{self, Lock};
use super::sqlite::{self, Content};
use super::{Access, Store, StoreError, patiently, refuse_newer, schema};

const DOING: &str = "copy the state";

impl Store {
    /// Opens a copy that is made at `copy`, an empty one if there is no state yet. No
    /// daemon may hold the original, nor begin to while the copy is open.
    pub async fn open_copy(path: &Path, copy: &Path) -> Result<Self, StoreError> {
        let path = std::path::absolute(path).map_err(|e| StoreError::file("find the state", path, e))?;
        let original = patiently(|| Lock::take_existing(&path)).await?;
        if path.try_exists().map_err(|e| StoreError::file(DOING, &path, e))? {
            fill(&path, copy).await?;
        }
        let mut store = Self::open(copy, Access::Daemon).await?;
        if let Some(writer) = &mut store.writer {
            writer._original = original;
        }
        Ok(store)
    }
}

async fn fill(path: &Path, copy: &Path) -> Result<(), StoreError> {
    let failed = |e| StoreError::sql(DOING, path, e);
    let mut connection = sqlite::connect(path, true).await.map_err(failed)?;
    let content = sqlite::content(&mut connection).await.map_err(failed)?;
    if content == Content::Ours {
        refuse_newer(path, schema::version(&mut connection).await.map_err(failed)?)?;
    }
    sqlite::close(connection).await;
    match content {
        Content::Foreign => Err(StoreError::Foreign { path: path.to_owned() }),
        Content::Empty => Ok(()),
        Content::Ours => {
            file::create(copy)?;
            sqlite::copy(path, copy, "tokens").await.map_err(failed)
        }
    }
}

//! Copying in and out of containers (`cp`).
//!
//! Source and destination are places below two roots: the host's, and the container's
//! ([`super::view`]). [`rules`] decides by Docker's table where the copy goes, [`tree`] copies
//! file by file between the two, [`archive_in`] and [`archive_out`] do the same for tar
//! streams.

mod archive_in;
mod archive_out;
mod content;
mod error;
mod kernel;
mod make;
mod place;
mod rules;
mod tree;

use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use gantry_model::ContainerRecord;
use gantry_sys::path::Directory;
use rustix::fs::FileType;
use rustix::io::Errno;

pub use error::CopyError;
use make::{Owner, Ownership};
use place::{Found, Place};
use rules::{Existing, Target};
use tree::{Direction, TreeCopy};

use super::Containers;
use super::error::file;
use super::exec::read_inside;
use super::user;
use super::view::RootView;

/// How something is copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Whether what is copied in belongs to the container's user (`-a`).
    pub archive: bool,
    /// Whether a link named as the source is followed (`-L`).
    pub follow_link: bool,
}

impl Containers<'_> {
    /// Copies `path` of a container to a local path. `progress` is told of bytes, counted as
    /// in an archive.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn copy_out(
        &self,
        name: &str,
        path: &str,
        local: &str,
        options: CopyOptions,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), CopyError> {
        let host = host_root()?;
        let to = absolute(local)?;
        let destination = local_destination(&host, &to)?;
        let (record, view) = self.view(name)?;
        let path = inside(path)?;
        let (source, followed) =
            source(&view.root, &path, options.follow_link).map_err(outside_error(name, &path))?;
        let found = present(&source, name, &followed)?;
        let existing = existing(&destination);
        let target = rules::target(&path, found.is_directory(), &to, existing)?;
        let (parent, own) = put(destination, target, place::base_name(&path))?;
        TreeCopy::new(Direction::Out, Ownership::CALLER, progress).run(found, &parent, &own)?;
        self.engine.tell_of(&record, "archive-path", &[]);
        Ok(())
    }

    /// Copies a local path into a container.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn copy_in(
        &self,
        local: &str,
        name: &str,
        path: &str,
        options: CopyOptions,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), CopyError> {
        let from = absolute(local)?;
        let found = local_source(&from, options.follow_link)?;
        let (record, view) = self.view(name)?;
        let path = inside_or_empty(path);
        let destination = container_destination(&view.root, &path, name)?;
        let target = rules::target(&from, found.is_directory(), &path, existing(&destination))?;
        let ownership = self.ownership(&record, &view, options)?;
        check_writable(&view.root, &destination)?;
        let (parent, own) = put(destination, target, place::base_name(&from))?;
        TreeCopy::new(Direction::In, ownership, progress).run(&found, &parent, &own)?;
        self.engine.tell_of(&record, "extract-to-dir", &[]);
        Ok(())
    }

    /// Writes `path` of a container as a tar stream.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn archive_out(
        &self,
        name: &str,
        path: &str,
        options: CopyOptions,
        sink: &mut dyn Write,
    ) -> Result<(), CopyError> {
        let (record, view) = self.view(name)?;
        let path = inside(path)?;
        let (source, followed) =
            source(&view.root, &path, options.follow_link).map_err(outside_error(name, &path))?;
        let found = present(&source, name, &followed)?;
        let own = match place::base_name(&followed) {
            "/" => ".",
            own => own,
        };
        archive_out::write(found, own.as_bytes(), view.users.as_ref(), sink)?;
        self.engine.tell_of(&record, "archive-path", &[]);
        Ok(())
    }

    /// Unpacks a tar stream, compressed or not, into a directory of a container.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn archive_in(
        &self,
        archive: &mut dyn Read,
        name: &str,
        path: &str,
        options: CopyOptions,
    ) -> Result<(), CopyError> {
        let (record, view) = self.view(name)?;
        let path = inside_or_empty(path);
        let destination = container_destination(&view.root, &path, name)?;
        if existing(&destination) != Existing::Directory {
            return Err(CopyError::NotDirectory {
                path,
                container: name.to_owned(),
            });
        }
        let ownership = self.ownership(&record, &view, options)?;
        check_writable(&view.root, &destination)?;
        let (top, own) = put(destination, Target::Contents, ".")?;
        let top = top
            .directory_beneath(&own)
            .map_err(CopyError::entry("open", path.as_bytes()))?;
        archive_in::extract(archive, &top, ownership)?;
        self.engine.tell_of(&record, "extract-to-dir", &[]);
        Ok(())
    }

    /// Whom copies in a container belong to: the owners of the sources by number, or with `-a`
    /// the user the container runs as.
    fn ownership<'a>(
        &self,
        record: &ContainerRecord,
        view: &'a RootView,
        options: CopyOptions,
    ) -> Result<Ownership<'a>, CopyError> {
        let owned_by = |owner| Ownership {
            owner,
            users: view.users.as_ref(),
        };
        if !options.archive || record.process.user.is_empty() {
            return Ok(owned_by(Owner::Source));
        }
        let read = |path: &str| {
            read_inside(&view.root, path).map_err(file("read the container's", path.as_ref()))
        };
        let (passwd, group) = (read("/etc/passwd")?, read("/etc/group")?);
        let user = user::resolve(&record.process.user, &[], &passwd, &group)
            .map_err(super::ContainerError::from)?;
        Ok(owned_by(Owner::Of(user.uid, user.gid)))
    }
}

fn host_root() -> Result<Directory, CopyError> {
    Directory::open(Path::new("/")).map_err(CopyError::entry("open", b"/"))
}

/// An absolute path of the host, with the end that says what is meant kept as it is.
fn absolute(local: &str) -> Result<String, CopyError> {
    let path = std::path::absolute(local).map_err(CopyError::entry("find", local.as_bytes()))?;
    let mut text = path.to_string_lossy().into_owned();
    if rules::means_contents(local) && !rules::means_contents(&text) {
        text = format!("{}/.", text.trim_end_matches('/'));
    } else if local.ends_with('/') && !text.ends_with('/') {
        text.push('/');
    }
    Ok(text)
}

/// A path of a container, which is always below its root.
fn inside(path: &str) -> Result<String, CopyError> {
    if path.is_empty() {
        return Err(CopyError::EmptyPath);
    }
    Ok(inside_or_empty(path))
}

fn inside_or_empty(path: &str) -> String {
    if path.is_empty() || path.starts_with('/') {
        return path.to_owned();
    }
    // `..` cannot lead above the root: taken out here, so that names stay plain.
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => drop(clean.pop()),
            Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    let mut text = clean.to_string_lossy().into_owned();
    if rules::means_contents(path) {
        text = format!("{}/.", text.trim_end_matches('/'));
    } else if path.ends_with('/') && text != "/" {
        text.push('/');
    }
    text
}

/// The place of a source, and its path after links were followed.
fn source(root: &Directory, path: &str, follow: bool) -> io::Result<(Place, String)> {
    match follow {
        true => place::follow(root, path),
        false => place::find(root, path).map(|place| (place, path.to_owned())),
    }
}

fn present<'a>(place: &'a Place, name: &str, path: &str) -> Result<&'a Found, CopyError> {
    let missing = || CopyError::NotInContainer {
        path: path.to_owned(),
        container: name.to_owned(),
    };
    let found = place.found.as_ref().ok_or_else(missing)?;
    let kernels = kernel::KernelFiles::default()
        .holds(found)
        .map_err(CopyError::entry("look at", path.as_bytes()))?;
    // As Docker, which sees the image's empty folders there.
    if kernels && !found.is_directory() {
        return Err(missing());
    }
    Ok(found)
}

/// For `map_err`: a path of a container that leads nowhere.
fn outside_error(name: &str, path: &str) -> impl FnOnce(io::Error) -> CopyError {
    let (container, path) = (name.to_owned(), path.to_owned());
    move |source| match source.kind() {
        io::ErrorKind::NotFound => CopyError::NotInContainer { path, container },
        _ => CopyError::entry("look at", path.as_bytes())(source),
    }
}

fn local_source(path: &str, follow: bool) -> Result<Found, CopyError> {
    let host = host_root()?;
    let failed = || CopyError::entry("look at", path.as_bytes());
    let (place, path) = source(&host, path, follow).map_err(failed())?;
    place
        .found
        .ok_or_else(|| CopyError::entry("look at", path.as_bytes())(Errno::NOENT.into()))
}

fn local_destination(host: &Directory, path: &str) -> Result<Place, CopyError> {
    let place = match place::follow(host, path) {
        Ok((place, _)) => place,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
            return Err(CopyError::OutputFolder {
                folder: folder.to_string_lossy().into_owned(),
            });
        }
        Err(error) => return Err(CopyError::entry("look at", path.as_bytes())(error)),
    };
    match place.found.as_ref().map(Found::kind) {
        None | Some(FileType::Directory | FileType::RegularFile) => Ok(place),
        Some(_) => Err(CopyError::OutputDevice {
            path: path.to_owned(),
        }),
    }
}

fn container_destination(root: &Directory, path: &str, name: &str) -> Result<Place, CopyError> {
    if path.is_empty() {
        return Err(CopyError::NoSuchDirectory);
    }
    let folder = || {
        let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
        folder.to_string_lossy().into_owned()
    };
    let place = match place::follow(root, path) {
        Ok((place, _)) => place,
        Err(error) => return Err(outside_error(name, &folder())(error)),
    };
    match place.found.as_ref().map(Found::kind) {
        None | Some(FileType::Directory | FileType::RegularFile) => Ok(place),
        Some(_) => Err(CopyError::Device {
            path: path.to_owned(),
            container: name.to_owned(),
        }),
    }
}

fn existing(place: &Place) -> Existing {
    match &place.found {
        None => Existing::Nothing,
        Some(found) if found.is_directory() => Existing::Directory,
        Some(_) => Existing::Other,
    }
}

/// The directory and the name that the source is copied to.
fn put(
    place: Place,
    target: Target,
    own: &str,
) -> Result<(Directory, std::ffi::OsString), CopyError> {
    let Place {
        parent,
        name,
        found,
    } = place;
    let here = |found: Option<Found>| {
        let found = found.ok_or(CopyError::NoSuchDirectory)?;
        make::listed(&found.file).map_err(CopyError::entry("open", name.as_encoded_bytes()))
    };
    match target {
        Target::As => Ok((parent, name)),
        Target::Contents => Ok((here(found)?, ".".into())),
        // A root has no name to go under: what it holds is copied.
        Target::Inside if matches!(own, "/" | ".") => Ok((here(found)?, ".".into())),
        Target::Inside => Ok((here(found)?, own.into())),
    }
}

/// Refuses in Docker's words what the kernel would refuse in its own.
fn check_writable(root: &Directory, place: &Place) -> Result<(), CopyError> {
    let failed = || CopyError::entry("look at", place.name.as_encoded_bytes());
    let folder = match &place.found {
        Some(found) if found.is_directory() => make::listed(&found.file).map_err(failed())?,
        _ => place.parent.try_clone().map_err(failed())?,
    };
    if !make::is_read_only(&folder).map_err(failed())? {
        return Ok(());
    }
    let device = |directory: &Directory| directory.status().map(|status| status.st_dev);
    match device(root).map_err(failed())? == device(&folder).map_err(failed())? {
        true => Err(CopyError::ReadOnlyRoot),
        false => Err(CopyError::ReadOnlyMount),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_what_their_end_says() {
        for (path, want) in [
            ("a", "/a"),
            ("/a", "/a"),
            ("a/", "/a/"),
            ("a/.", "/a/."),
            (".", "/."),
            ("../a", "/a"),
            ("a/../../b", "/b"),
            ("./a", "/a"),
        ] {
            assert_eq!(inside_or_empty(path), want, "{path}");
        }
        assert!(inside("").is_err());
        assert!(absolute("x/").unwrap().ends_with("/x/"));
        assert!(absolute("x/.").unwrap().ends_with("/x/."));
        assert!(absolute(".").unwrap().ends_with("/."));
    }
}

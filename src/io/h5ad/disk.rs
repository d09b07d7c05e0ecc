//! The disk under an HDF5 file being written: a driver of the library's virtual file layer.
//!
//! The library does not survive a failed write: what it could not write it keeps, and later calls crash. With this driver
//! it never meets one. From the first failure on, what would be written is kept in memory and read from there, so that
//! the library can finish what it is doing and close the file; [`Disk::check`] tells of the failure.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong, c_void};
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hdf5::plist::{FileAccess, FileCreate};
use hdf5_sys::h5f::{H5F_ACC_TRUNC, H5Fcreate};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::H5Pset_driver;

use crate::{Error, Result};

/// A file that HDF5 writes.
pub(super) struct Disk {
    /// The name by which the driver finds it; it is not stored.
    name: CString,
    state: Mutex<State>,
}

struct State {
    file: fs::File,
    /// The first failure.
    failure: Option<io::Error>,
    /// Writes since then: where, and what.
    kept: Vec<(u64, Vec<u8>)>,
    /// The end of what the library addresses.
    addressed: u64,
    /// The end of what was written.
    written: u64,
}

/// The files that are being written.
static OPEN: Mutex<Vec<Arc<Disk>>> = Mutex::new(Vec::new());

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// Makes an empty file, in place of whatever is at `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn create(path: &Path) -> Result<Arc<Self>> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let file = fs::File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let name = CString::new(format!("scflow-{}", COUNTER.fetch_add(1, Ordering::Relaxed))).unwrap_or_default();
        let state = State { file, failure: None, kept: Vec::new(), addressed: 0, written: 0 };
        let disk = Arc::new(Self { name, state: Mutex::new(state) });
        lock(&OPEN).push(Arc::clone(&disk));
        Ok(disk)
    }

    /// Begins an HDF5 file on it.
    ///
    /// The format is the one that HDF5 1.8 and later read; no times are stored.
    pub(super) fn hdf5(&self) -> hdf5::Result<hdf5::File> {
        let access = FileAccess::build().libver_v18().finish()?;
        let creation = FileCreate::build().obj_track_times(false).finish()?;
        let driver = driver()?;
        let failed = || hdf5::Error::query().unwrap_or_else(|error| error);
        hdf5::sync::sync(|| {
            // The lists are open, the driver is registered for good and takes no settings.
            let id = unsafe {
                match H5Pset_driver(access.id(), driver, std::ptr::null()) {
                    0.. => H5Fcreate(self.name.as_ptr(), H5F_ACC_TRUNC, creation.id(), access.id()),
                    _ => -1,
                }
            };
            // The identifier is new and belongs to nobody else.
            if id < 0 { Err(failed()) } else { unsafe { hdf5::from_id(id) } }
        })
    }

    /// Fails if something could not be written.
    ///
    /// # Errors
    /// [`Error::Io`] with the first failure.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        let again = |failure: &io::Error| match failure.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => failure.kind().into(),
        };
        match lock(&self.state).failure.as_ref().map(again) {
            Some(source) => Err(Error::Io { path: path.to_owned(), source }),
            None => Ok(()),
        }
    }

    /// Takes the file from those that are being written; what the library still holds of it goes on.
    pub(super) fn finish(&self) {
        lock(&OPEN).retain(|other| !std::ptr::eq(&**other, self));
    }
}

impl State {
    fn write(&mut self, address: u64, bytes: &[u8]) {
        self.written = self.written.max(address + bytes.len() as u64);
        if self.failure.is_none() {
            let done = self.file.seek(SeekFrom::Start(address)).and_then(|_| self.file.write_all(bytes));
            match done {
                Ok(()) => return,
                Err(error) => self.failure = Some(error),
            }
        }
        self.kept.push((address, bytes.to_vec()));
    }

    /// Reads what was written; zeros elsewhere.
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(address))?;
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read(&mut buffer[done..]) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer[done..].fill(0);
        let end = address + buffer.len() as u64;
        for (start, bytes) in &self.kept {
            let (first, last) = (address.max(*start), end.min(start + bytes.len() as u64));
            if first < last {
                let from = &bytes[(first - start) as usize..(last - start) as usize];
                buffer[(first - address) as usize..(last - address) as usize].copy_from_slice(from);
            }
        }
        Ok(())
    }
}

/// The identifier of the driver, registered at the first call.
fn driver() -> hdf5::Result<hid_t> {
    static DRIVER: OnceLock<hid_t> = OnceLock::new();
    // The class is copied by the library.
    let id = *DRIVER.get_or_init(|| hdf5::sync::sync(|| unsafe { H5FDregister(&CLASS) }));
    if id < 0 { Err("this HDF5 library takes no drivers of version 1".into()) } else { Ok(id) }
}

unsafe extern "C" {
    fn H5FDregister(class: *const Class) -> hid_t;
}

type Unused = Option<unsafe extern "C" fn()>;

/// `H5FD_class_t`, version 1 of the structure (`H5FDdevelop.h` of HDF5 1.14 and 2); the library refuses other versions.
#[repr(C)]
struct Class {
    version: c_uint,
    value: c_int,
    name: *const c_char,
    most_address: u64,
    close_degree: c_int,
    terminate: Unused,
    superblock: [Unused; 3],
    access_size: usize,
    access: [Unused; 3],
    transfer_size: usize,
    transfer: [Unused; 2],
    open: unsafe extern "C" fn(*const c_char, c_uint, hid_t, u64) -> *mut Open,
    close: unsafe extern "C" fn(*mut Open) -> c_int,
    compare: Unused,
    query: unsafe extern "C" fn(*const Open, *mut c_ulong) -> c_int,
    type_map: Unused,
    allocate: [Unused; 2],
    get_end_of_addresses: unsafe extern "C" fn(*const Open, c_int) -> u64,
    set_end_of_addresses: unsafe extern "C" fn(*mut Open, c_int, u64) -> c_int,
    get_end_of_file: unsafe extern "C" fn(*const Open, c_int) -> u64,
    handle: Unused,
    read: unsafe extern "C" fn(*mut Open, c_int, hid_t, u64, usize, *mut c_void) -> c_int,
    write: unsafe extern "C" fn(*mut Open, c_int, hid_t, u64, usize, *const c_void) -> c_int,
    several: [Unused; 4],
    flush: Unused,
    truncate: unsafe extern "C" fn(*mut Open, hid_t, bool) -> c_int,
    lock: [Unused; 2],
    delete: Unused,
    control: Unused,
    free_lists: [c_int; 7],
}

// The class is never changed, and its name is a constant.
unsafe impl Sync for Class {}

/// `H5FD_t` with our own part behind it; the library fills in its part.
#[repr(C)]
struct Open {
    driver: hid_t,
    class: *const Class,
    number: c_ulong,
    flags: c_uint,
    features: c_ulong,
    most_address: u64,
    base_address: u64,
    threshold: u64,
    alignment: u64,
    is_paged: bool,
    disk: Arc<Disk>,
}

static CLASS: Class = Class {
    version: 1,
    // From 256 to 511 are for anybody; the number is not stored.
    value: 300,
    name: c"scflow".as_ptr(),
    most_address: i64::MAX as u64,
    close_degree: 1,
    terminate: None,
    superblock: [None; 3],
    access_size: 0,
    access: [None; 3],
    transfer_size: 0,
    transfer: [None; 2],
    open,
    close,
    compare: None,
    query,
    type_map: None,
    allocate: [None; 2],
    get_end_of_addresses,
    set_end_of_addresses,
    get_end_of_file,
    handle: None,
    read,
    write,
    several: [None; 4],
    flush: None,
    truncate,
    lock: [None; 2],
    delete: None,
    control: None,
    // Metadata in one list, raw data in another, as the library's own drivers have it.
    free_lists: [1, 1, 1, 3, 3, 1, 1],
};

/// Metadata and small raw data are gathered, raw data is sieved: bits 0 to 4, as the library's own drivers have them.
const FEATURES: c_ulong = 0x1f;

// The functions below are called by the library alone, under its lock, with what `open` gave it and buffers of the
// sizes that it names. None of them lets a panic out: they only lock, copy, and call the system.

/// The state of an open file.
///
/// # Safety
/// `file` must come from [`open`] and not have been closed.
unsafe fn state<'a>(file: *const Open) -> MutexGuard<'a, State> {
    let file: &'a Open = unsafe { &*file };
    lock(&file.disk.state)
}

unsafe extern "C" fn open(name: *const c_char, _: c_uint, _: hid_t, _: u64) -> *mut Open {
    let name = unsafe { CStr::from_ptr(name) };
    let disk = lock(&OPEN).iter().find(|disk| disk.name.as_c_str() == name).cloned();
    disk.map_or(std::ptr::null_mut(), |disk| {
        Box::into_raw(Box::new(Open {
            driver: 0,
            class: std::ptr::null(),
            number: 0,
            flags: 0,
            features: 0,
            most_address: 0,
            base_address: 0,
            threshold: 0,
            alignment: 0,
            is_paged: false,
            disk,
        }))
    })
}

unsafe extern "C" fn close(file: *mut Open) -> c_int {
    drop(unsafe { Box::from_raw(file) });
    0
}

unsafe extern "C" fn query(_: *const Open, features: *mut c_ulong) -> c_int {
    if !features.is_null() {
        unsafe { *features = FEATURES };
    }
    0
}

unsafe extern "C" fn get_end_of_addresses(file: *const Open, _: c_int) -> u64 {
    unsafe { state(file) }.addressed
}

unsafe extern "C" fn set_end_of_addresses(file: *mut Open, _: c_int, end: u64) -> c_int {
    unsafe { state(file) }.addressed = end;
    0
}

unsafe extern "C" fn get_end_of_file(file: *const Open, _: c_int) -> u64 {
    unsafe { state(file) }.written
}

unsafe extern "C" fn read(file: *mut Open, _: c_int, _: hid_t, address: u64, size: usize, to: *mut c_void) -> c_int {
    let buffer = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), size) };
    match unsafe { state(file) }.read(address, buffer) {
        Ok(()) => 0,
        Err(_) => -1,
    }
}

unsafe extern "C" fn write(
    file: *mut Open,
    _: c_int,
    _: hid_t,
    address: u64,
    size: usize,
    from: *const c_void,
) -> c_int {
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), size) };
    unsafe { state(file) }.write(address, bytes);
    0
}

unsafe extern "C" fn truncate(file: *mut Open, _: hid_t, _: bool) -> c_int {
    let mut state = unsafe { state(file) };
    if state.written != state.addressed
        && state.failure.is_none()
        && let Err(error) = state.file.set_len(state.addressed)
    {
        state.failure = Some(error);
    }
    state.written = state.addressed;
    0
}

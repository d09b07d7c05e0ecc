//! Blocks that are read while those before them are worked on.

use std::sync::mpsc::sync_channel;

use crate::Result;

/// Makes an item of each input on a thread of its own, one ahead of `visit`, which is called with each item in order.
///
/// Where there is one thread for everything, nothing is made ahead.
///
/// # Errors
/// The first of `make` or `visit`; nothing more is visited then.
pub(super) fn one_ahead<I, T: Send>(
    inputs: impl Iterator<Item = I> + Send,
    make: impl Fn(I) -> Result<T> + Send,
    visit: &mut dyn FnMut(T) -> Result<()>,
) -> Result<()> {
    if rayon::current_num_threads() == 1 {
        return inputs.map(make).try_for_each(|item| visit(item?));
    }
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(0);
        scope.spawn(move || {
            for input in inputs {
                // Nobody takes it any more once a visit failed.
                if sender.send(make(input)).is_err() {
                    return;
                }
            }
        });
        receiver.into_iter().try_for_each(|item| visit(item?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn refused(item: usize) -> Error {
        Error::backend("a test", item.to_string())
    }

    #[test]
    fn items_come_in_order_until_one_fails() {
        let mut seen = Vec::new();
        let make = |item: usize| if item == 7 { Err(refused(item)) } else { Ok(10 * item) };
        let visited = one_ahead(0..100, make, &mut |item| {
            seen.push(item);
            Ok(())
        });
        assert!(visited.unwrap_err().to_string().contains('7'));
        assert_eq!(seen, (0..7).map(|item| 10 * item).collect::<Vec<_>>());
        let visited = one_ahead(0..100, Ok, &mut |item| if item == 3 { Err(refused(item)) } else { Ok(()) });
        assert!(visited.unwrap_err().to_string().contains('3'));
        assert!(one_ahead(0..100, Ok, &mut |_: usize| Ok(())).is_ok());
    }
}

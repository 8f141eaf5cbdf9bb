//! Things in order of arrival, found by a key or by looking at all of them: unexpected letters and posted receives.
//!
//! A slab whose entries are in two linked lists: all in order, and those of one bucket in order. So thousands of
//! entries with different keys are not a walk each, an entry keeps its index while it is there, and nothing is
//! allocated once the slab has grown. What the entries mean is `inbox`'s business.

/// The bucket of a key is its hash below this, a power of two: enough for tens of thousands of keys.
pub(super) const BUCKETS: usize = 512;

/// The bucket of entries without a key.
pub(super) const UNKEYED: usize = BUCKETS;

/// The list of all entries.
const ALL: usize = BUCKETS + 1;

/// No index.
pub(super) const NONE: u32 = u32::MAX;

pub(super) struct Queue<T> {
    nodes: Vec<Node<T>>,
    /// The first node that is not in use; the others follow in `links[0].after`.
    free: u32,
    /// First and last entry of every list; made with the first entry.
    ends: Vec<[u32; 2]>,
    len: usize,
}

struct Node<T> {
    /// `None` in a free node.
    value: Option<T>,
    /// [`NONE`] for one that is kept but no longer queued.
    bucket: u32,
    /// Neighbours among all, and in the bucket.
    links: [Link; 2],
}

#[derive(Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
}

const ALONE: Link = Link { before: NONE, after: NONE };

/// The bucket of a message of that context, source and tag.
#[inline]
pub(super) fn bucket(context: u32, source: u32, tag: i32) -> usize {
    let key = u64::from(context) << 40 ^ u64::from(source) << 20 ^ tag as u64;
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BUCKETS.trailing_zeros())) as usize
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        Queue { nodes: Vec::new(), free: NONE, ends: Vec::new(), len: 0 }
    }

    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Puts an entry last and says where it is.
    pub fn push(&mut self, bucket: usize, value: T) -> u32 {
        if self.ends.is_empty() {
            self.ends = vec![[NONE; 2]; ALL + 1];
        }
        let node = Node { value: Some(value), bucket: bucket as u32, links: [ALONE; 2] };
        let index = self.free;
        let index = match self.nodes.get_mut(index as usize) {
            Some(place) => {
                self.free = place.links[0].after;
                *place = node;
                index
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        self.append(ALL, 0, index);
        self.append(bucket, 1, index);
        self.len += 1;
        index
    }

    fn append(&mut self, list: usize, which: usize, index: u32) {
        let last = self.ends[list][1];
        self.nodes[index as usize].links[which].before = last;
        match self.nodes.get_mut(last as usize) {
            Some(node) => node.links[which].after = index,
            None => self.ends[list][0] = index,
        }
        self.ends[list][1] = index;
    }

    fn detach(&mut self, list: usize, which: usize, index: u32) {
        let Link { before, after } = self.nodes[index as usize].links[which];
        match self.nodes.get_mut(before as usize) {
            Some(node) => node.links[which].after = after,
            None => self.ends[list][0] = after,
        }
        match self.nodes.get_mut(after as usize) {
            Some(node) => node.links[which].before = before,
            None => self.ends[list][1] = before,
        }
    }

    /// The first entry of a bucket that `wanted` accepts.
    pub fn find_in(&self, bucket: usize, wanted: impl FnMut(&T) -> bool) -> Option<u32> {
        self.walk(bucket, 1, wanted)
    }

    /// The first entry of all that `wanted` accepts.
    pub fn find(&self, wanted: impl FnMut(&T) -> bool) -> Option<u32> {
        self.walk(ALL, 0, wanted)
    }

    fn walk(&self, list: usize, which: usize, mut wanted: impl FnMut(&T) -> bool) -> Option<u32> {
        let mut index = self.ends.get(list).map_or(NONE, |ends| ends[0]);
        while let Some(node) = self.nodes.get(index as usize) {
            if node.value.as_ref().is_some_and(&mut wanted) {
                return Some(index);
            }
            index = node.links[which].after;
        }
        None
    }

    /// All entries, with their places.
    pub fn each(&self) -> impl Iterator<Item = (u32, &T)> {
        let mut index = self.ends.get(ALL).map_or(NONE, |ends| ends[0]);
        std::iter::from_fn(move || {
            let node = self.nodes.get(index as usize)?;
            let at = std::mem::replace(&mut index, node.links[0].after);
            node.value.as_ref().map(|value| (at, value))
        })
    }

    /// What stands at an index, queued or kept.
    pub fn get(&self, index: u32) -> Option<&T> {
        self.nodes.get(index as usize)?.value.as_ref()
    }

    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.nodes.get_mut(index as usize)?.value.as_mut()
    }

    pub fn is_queued(&self, index: u32) -> bool {
        self.nodes.get(index as usize).is_some_and(|node| node.value.is_some() && node.bucket != NONE)
    }

    /// Takes an entry out of the queue and keeps it at its index, where only [`Queue::remove`] ends it.
    pub fn keep(&mut self, index: u32) {
        if self.is_queued(index) {
            let bucket = std::mem::replace(&mut self.nodes[index as usize].bucket, NONE);
            self.detach(ALL, 0, index);
            self.detach(bucket as usize, 1, index);
            self.len -= 1;
        }
    }

    /// Takes an entry away, queued or kept.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        self.keep(index);
        let node = self.nodes.get_mut(index as usize)?;
        let value = node.value.take()?;
        node.links[0].after = self.free;
        self.free = index;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(queue: &Queue<i32>) -> Vec<i32> {
        let mut seen = Vec::new();
        queue.find(|&value| {
            seen.push(value);
            false
        });
        seen
    }

    #[test]
    fn order_is_kept_whatever_is_taken() {
        let mut queue = Queue::new();
        let at: Vec<u32> = (0..10).map(|i| queue.push(i as usize % 3, i)).collect();
        for taken in [0, 9, 4, 3] {
            assert_eq!(queue.remove(at[taken]), Some(taken as i32));
            assert_eq!(queue.remove(at[taken]), None);
        }
        assert_eq!(all(&queue), [1, 2, 5, 6, 7, 8]);
        assert_eq!(queue.find_in(1, |&value| value > 1).and_then(|i| queue.get(i)), Some(&7));
        // A new entry takes a free node and stands last.
        queue.push(0, 11);
        assert_eq!((all(&queue), queue.nodes.len()), (vec![1, 2, 5, 6, 7, 8, 11], 10));
    }

    #[test]
    fn what_is_kept_is_out_of_the_queue_and_still_there() {
        let mut queue = Queue::new();
        let (a, b) = (queue.push(5, 1), queue.push(5, 2));
        queue.keep(a);
        queue.keep(a);
        assert_eq!((all(&queue), queue.len(), queue.is_queued(a)), (vec![2], 1, false));
        assert_eq!(queue.get(a), Some(&1));
        assert_eq!((queue.remove(a), queue.remove(b), queue.is_empty()), (Some(1), Some(2), true));
    }
}

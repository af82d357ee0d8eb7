import Glibc

/// Keeps tasks that are resumed on the loop's thread on that thread.
///
/// The runtime resumes a suspended task, whether it waited for a continuation, a task, a group or a yield, on the generic executor first ("Set the
/// generic executor as the default", swift_continuation_init in Task.cpp, Swift 6.3), and only there does it notice that it belongs to an actor
/// with an executor of its own. So each resumption of loop code would go through Swift's global pool and back: two changes of thread, and an
/// order that depends on chance. With this hook such a job is queued on the loop, behind the jobs before it; run there, it needs no second step.
///
/// Jobs that other threads enqueue go where they always went. Code without isolation that awaits loop code may go on on the loop's thread, so
/// it must not block there.
package enum GlobalExecutorHook {
    package typealias Original = @convention(thin) (UnownedJob) -> Void
    /// Takes a job, or hands it to the original.
    package typealias Hook = @convention(thin) (UnownedJob, Original) -> Void

    /// Keeps resumed tasks of the process's event loop on it.
    static func install() {
        install { job, original in
            let loop = EventLoop.shared
            if loop.isCurrent { loop.add(job) } else { original(job) }
        }
    }

    /// Sets the pointer that the runtime offers for this (swift_task_enqueueGlobal_hook, swift/Runtime/Concurrency.h).
    package static func install(_ hook: Hook) {
        guard let symbol = dlsym(nil, "swift_task_enqueueGlobal_hook") else {
            fatalError("this Swift runtime has no hook for the global executor, so loop code cannot stay on its thread")
        }
        symbol.assumingMemoryBound(to: UnsafeRawPointer?.self).pointee = unsafeBitCast(hook, to: UnsafeRawPointer?.self)
    }
}

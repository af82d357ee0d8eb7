import CFuse
import Glibc
import Namespace
import Testing

@testable import FuseMount

@Suite struct FuseMountPureTests {
    @Test func mountinfoLine() throws {
        let line = "98 25 0:45 / /mnt/a\\040b rw,nosuid shared:7 master:1 - fuse.dhtfs ram rw,user_id=0"
        let entry = try #require(MountEntry(line: line[...]))
        #expect(entry.device == "0:45")
        #expect(entry.path == "/mnt/a b")
        #expect(entry.type == "fuse.dhtfs")
        #expect(MountEntry(line: "98 25 0:45 / /mnt") == nil)
        #expect(MountEntry(line: "98 25 0:45 / /mnt rw shared:7 - ") == nil)
        #expect(MountEntry(line: "") == nil)
    }

    @Test func stopWishes() {
        func wish(thread: UInt64 = 0, process: UInt64 = 0, blocked: UInt64 = 0) -> StopWish {
            StopWish.of(
                status: "Name:\tx\nSigQ:\t0/7\nSigPnd:\t\(String(thread, radix: 16))\nShdPnd:\t\(String(process, radix: 16))\n"
                    + "SigBlk:\t\(String(blocked, radix: 16))\n")
        }
        func bit(_ signal: Int32) -> UInt64 { 1 << UInt64(signal - 1) }
        #expect(wish() == .none)
        #expect(wish(process: bit(SIGALRM)) == .none)
        #expect(wish(thread: bit(SIGCHLD) | bit(SIGURG)) == .none)
        #expect(wish(process: bit(SIGINT)) == .interrupt)
        #expect(wish(process: bit(SIGTERM), blocked: bit(SIGTERM)) == .none)
        #expect(wish(thread: bit(SIGKILL), process: bit(SIGINT)) == .fatal)
        #expect(wish(thread: bit(SIGKILL), blocked: .max) == .fatal)
    }

    @Test func timesBeforeAndAfter1970() {
        for time in [0, 1, -1, 1_999_999_999, -1_999_999_999, -1_000_000_000, Timestamp.max, Timestamp.min] as [Timestamp] {
            let converted = SystemTime.pair(time)
            #expect(converted.tv_nsec >= 0 && converted.tv_nsec < 1_000_000_000)
            #expect(SystemTime.timestamp(converted) == time)
        }
        #expect(SystemTime.timestamp(timespec(tv_sec: .max, tv_nsec: 0)) == .max)
        #expect(SystemTime.timestamp(timespec(tv_sec: .min, tv_nsec: 0)) == .min)
    }

    @Test func optionText() {
        var options = FuseOptions()
        options.name = "a,b\\c"
        options.readOnly = true
        #expect(options.text == "fsname=a\\,b\\\\c,subtype=dhtfs,allow_other,default_permissions,nosuid,nodev,ro")
    }

    @Test func xattrPolicy() {
        let acl = Array("system.posix_acl_access".utf8)
        let capability = Array("security.capability".utf8)
        #expect(XattrPolicy.refusal(acl) == 0)
        #expect(XattrPolicy.refusal(Array("system.nfs4_acl".utf8)) == EOPNOTSUPP)
        #expect(XattrPolicy.refusal(capability) == 0)
        #expect(XattrPolicy.refusal(Array("user.system.".utf8)) == 0)
        #expect(XattrPolicy.refusal(Array("security.selinux2".utf8)) == 0)
        for name in ["plain", "other.name", "user.", "trusted.", "users.x", "", "security.selinux"] {
            #expect(XattrPolicy.refusal(Array(name.utf8)) == EOPNOTSUPP)
        }
        #expect(XattrPolicy.isListed(Array("trusted.x".utf8), to: 0) && !XattrPolicy.isListed(Array("trusted.x".utf8), to: 1000))
        #expect(XattrPolicy.isListed(Array("user.x".utf8), to: 1000))
    }
}

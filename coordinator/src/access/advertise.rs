//! Where others may reach a coordinator, as far as this machine knows.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use poolmap_proto::access::Address;

/// Addresses for access files of a coordinator that listens here. Where it listens at all addresses of the machine, these are
/// the machine's name and what is not a loopback address, if it has any.
#[must_use]
pub fn advertised(listening: &[SocketAddr]) -> Vec<Address> {
    let mut found: Vec<Address> = Vec::new();
    for address in listening {
        let addresses =
            if address.ip().is_unspecified() { of_this_machine(*address) } else { vec![(*address).into()] };
        for address in addresses {
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    found
}

fn of_this_machine(listening: SocketAddr) -> Vec<Address> {
    let port = listening.port();
    let outward: Vec<_> =
        interface_addresses().into_iter().filter(|ip| is_answered(*ip, listening)).collect();
    if outward.is_empty() {
        let loopback = if listening.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)
        };
        return vec![SocketAddr::new(loopback, port).into()];
    }
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let name = name.and_then(|name| Address::with_default_port(&name, port).ok());
    name.into_iter().chain(outward.into_iter().map(|ip| SocketAddr::new(ip, port).into())).collect()
}

/// Whether what listens at all addresses answers at this one. A socket for IPv6 answers for IPv4, too.
fn is_answered(ip: IpAddr, listening: SocketAddr) -> bool {
    ip.is_ipv4() || listening.is_ipv6()
}

/// What other machines might reach: neither loopback, nor of one link alone.
fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let up = interfaces.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP));
    let addresses = up.filter_map(|interface| interface.address).filter_map(|address| ip(&address));
    let is_of_use = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    addresses.filter(is_of_use).collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_its_own_is_what_others_are_told() -> Result<(), Box<dyn std::error::Error>> {
        let told = advertised(&["10.1.2.3:7464".parse()?, "[fd00::1]:1".parse()?, "10.1.2.3:7464".parse()?]);
        let told: Vec<_> = told.iter().map(Address::to_string).collect();
        assert_eq!(told, ["10.1.2.3:7464", "[fd00::1]:1"]);
        Ok(())
    }

    #[test]
    fn somebody_can_be_told_where_a_coordinator_is_that_listens_everywhere()
    -> Result<(), Box<dyn std::error::Error>> {
        for everywhere in ["0.0.0.0:7464", "[::]:7464"] {
            let told = advertised(&[everywhere.parse()?]);
            assert!(!told.is_empty());
            assert!(told.iter().all(|address| !address.to_string().starts_with("0.0.0.0")), "{told:?}");
        }
        Ok(())
    }
}

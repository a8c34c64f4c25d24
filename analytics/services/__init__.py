"""Every write of analytics: each service authorises, then does all or nothing."""

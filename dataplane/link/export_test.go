package link

// BridgesAmong is exported to tests.
var BridgesAmong = bridgesAmong

print("dhtfs")

/**
 * Room: domain, data. Cities by name, so that a place can be said in a word. Coordinates of the city
 * centre to a hundredth of a degree (about a kilometre). `name|title|latitude|longitude`, separated
 * by `; ` and line ends; names are written as a Name can be: lower case, hyphens, no accents.
 */

export const CITIES = `
dublin|Dublin|53.35|-6.26; cork|Cork|51.90|-8.47
galway|Galway|53.27|-9.06; belfast|Belfast|54.60|-5.93
london|London|51.51|-0.13; birmingham|Birmingham|52.49|-1.89
manchester|Manchester|53.48|-2.24; liverpool|Liverpool|53.41|-2.98
leeds|Leeds|53.80|-1.55; newcastle|Newcastle upon Tyne|54.98|-1.61
bristol|Bristol|51.45|-2.59; cardiff|Cardiff|51.48|-3.18
edinburgh|Edinburgh|55.95|-3.19; glasgow|Glasgow|55.86|-4.25
aberdeen|Aberdeen|57.15|-2.09; reykjavik|Reykjavik|64.15|-21.94
lisbon|Lisbon|38.72|-9.14; porto|Porto|41.15|-8.61
madrid|Madrid|40.42|-3.70; barcelona|Barcelona|41.39|2.17
valencia|Valencia|39.47|-0.38; seville|Seville|37.39|-5.98
bilbao|Bilbao|43.26|-2.93; zaragoza|Zaragoza|41.65|-0.89
malaga|Malaga|36.72|-4.42; palma|Palma de Mallorca|39.57|2.65
las-palmas|Las Palmas|28.12|-15.43; paris|Paris|48.86|2.35
lyon|Lyon|45.76|4.84; marseille|Marseille|43.30|5.37
toulouse|Toulouse|43.60|1.44; bordeaux|Bordeaux|44.84|-0.58
lille|Lille|50.63|3.07; nantes|Nantes|47.22|-1.55
strasbourg|Strasbourg|48.57|7.75; nice|Nice|43.70|7.27
monaco|Monaco|43.74|7.42; brussels|Brussels|50.85|4.35
antwerp|Antwerp|51.22|4.40; luxembourg|Luxembourg|49.61|6.13
amsterdam|Amsterdam|52.37|4.90; rotterdam|Rotterdam|51.92|4.48
the-hague|The Hague|52.08|4.31; eindhoven|Eindhoven|51.44|5.48
groningen|Groningen|53.22|6.57; berlin|Berlin|52.52|13.40
hamburg|Hamburg|53.55|9.99; munich|Munich|48.14|11.58
cologne|Cologne|50.94|6.96; frankfurt|Frankfurt am Main|50.11|8.68
stuttgart|Stuttgart|48.78|9.18; dusseldorf|Duesseldorf|51.23|6.78
leipzig|Leipzig|51.34|12.37; dresden|Dresden|51.05|13.74
hanover|Hanover|52.37|9.73; nuremberg|Nuremberg|49.45|11.08
bremen|Bremen|53.08|8.80; karlsruhe|Karlsruhe|49.01|8.40
falkenstein|Falkenstein|50.48|12.37; zurich|Zurich|47.38|8.54
geneva|Geneva|46.20|6.14; basel|Basel|47.56|7.59
bern|Bern|46.95|7.45; vienna|Vienna|48.21|16.37
graz|Graz|47.07|15.44; linz|Linz|48.31|14.29
salzburg|Salzburg|47.80|13.05; innsbruck|Innsbruck|47.27|11.39
rome|Rome|41.90|12.50; milan|Milan|45.46|9.19
turin|Turin|45.07|7.69; naples|Naples|40.85|14.27
bologna|Bologna|44.49|11.34; florence|Florence|43.77|11.26
venice|Venice|45.44|12.32; genoa|Genoa|44.41|8.93
palermo|Palermo|38.12|13.36; bari|Bari|41.12|16.87
valletta|Valletta|35.90|14.51; copenhagen|Copenhagen|55.68|12.57
aarhus|Aarhus|56.16|10.20; oslo|Oslo|59.91|10.75
bergen|Bergen|60.39|5.32; trondheim|Trondheim|63.43|10.40
stavanger|Stavanger|58.97|5.73; stockholm|Stockholm|59.33|18.07
gothenburg|Gothenburg|57.71|11.97; malmo|Malmo|55.60|13.00
lulea|Lulea|65.58|22.15; helsinki|Helsinki|60.17|24.94
tampere|Tampere|61.50|23.76; oulu|Oulu|65.01|25.47
tallinn|Tallinn|59.44|24.75; riga|Riga|56.95|24.11
vilnius|Vilnius|54.69|25.28; kaunas|Kaunas|54.90|23.90
warsaw|Warsaw|52.23|21.01; krakow|Krakow|50.06|19.94
wroclaw|Wroclaw|51.11|17.04; poznan|Poznan|52.41|16.93
gdansk|Gdansk|54.35|18.65; lodz|Lodz|51.76|19.46
prague|Prague|50.08|14.44; brno|Brno|49.20|16.61
bratislava|Bratislava|48.15|17.11; kosice|Kosice|48.72|21.26
budapest|Budapest|47.50|19.04; debrecen|Debrecen|47.53|21.63
ljubljana|Ljubljana|46.06|14.51; zagreb|Zagreb|45.81|15.98
split|Split|43.51|16.44; sarajevo|Sarajevo|43.86|18.41
belgrade|Belgrade|44.79|20.45; novi-sad|Novi Sad|45.27|19.83
podgorica|Podgorica|42.43|19.26; skopje|Skopje|42.00|21.43
tirana|Tirana|41.33|19.82; pristina|Pristina|42.66|21.17
sofia|Sofia|42.70|23.32; plovdiv|Plovdiv|42.14|24.75
bucharest|Bucharest|44.43|26.10; cluj-napoca|Cluj-Napoca|46.77|23.59
timisoara|Timisoara|45.75|21.23; chisinau|Chisinau|47.01|28.86
athens|Athens|37.98|23.73; thessaloniki|Thessaloniki|40.64|22.94
nicosia|Nicosia|35.19|33.38; kyiv|Kyiv|50.45|30.52
lviv|Lviv|49.84|24.03; odesa|Odesa|46.48|30.72
kharkiv|Kharkiv|49.99|36.23; dnipro|Dnipro|48.46|35.05
minsk|Minsk|53.90|27.57; moscow|Moscow|55.76|37.62
saint-petersburg|Saint Petersburg|59.93|30.34; kazan|Kazan|55.80|49.11
nizhny-novgorod|Nizhny Novgorod|56.33|44.00; samara|Samara|53.20|50.15
yekaterinburg|Yekaterinburg|56.84|60.61; novosibirsk|Novosibirsk|55.01|82.94
krasnoyarsk|Krasnoyarsk|56.01|92.87; vladivostok|Vladivostok|43.12|131.89
istanbul|Istanbul|41.01|28.98; ankara|Ankara|39.93|32.86
izmir|Izmir|38.42|27.14; antalya|Antalya|36.90|30.71
tbilisi|Tbilisi|41.72|44.79; yerevan|Yerevan|40.18|44.51
baku|Baku|40.41|49.87; tehran|Tehran|35.69|51.39
mashhad|Mashhad|36.30|59.61; isfahan|Isfahan|32.65|51.67
baghdad|Baghdad|33.31|44.37; erbil|Erbil|36.19|44.01
basra|Basra|30.51|47.78; damascus|Damascus|33.51|36.28
beirut|Beirut|33.89|35.50; amman|Amman|31.95|35.93
jerusalem|Jerusalem|31.77|35.21; tel-aviv|Tel Aviv|32.09|34.78
haifa|Haifa|32.79|34.99; riyadh|Riyadh|24.71|46.68
jeddah|Jeddah|21.49|39.19; dammam|Dammam|26.42|50.09
kuwait-city|Kuwait City|29.38|47.99; manama|Manama|26.23|50.59
doha|Doha|25.29|51.53; dubai|Dubai|25.20|55.27
abu-dhabi|Abu Dhabi|24.45|54.38; fujairah|Fujairah|25.13|56.33
muscat|Muscat|23.59|58.41; sanaa|Sanaa|15.37|44.19
kabul|Kabul|34.56|69.21; karachi|Karachi|24.86|67.00
lahore|Lahore|31.55|74.34; islamabad|Islamabad|33.68|73.05
delhi|Delhi|28.61|77.21; mumbai|Mumbai|19.08|72.88
bengaluru|Bengaluru|12.97|77.59; hyderabad|Hyderabad|17.39|78.49
chennai|Chennai|13.08|80.27; kolkata|Kolkata|22.57|88.36
pune|Pune|18.52|73.86; ahmedabad|Ahmedabad|23.02|72.57
jaipur|Jaipur|26.91|75.79; lucknow|Lucknow|26.85|80.95
kochi|Kochi|9.93|76.27; nagpur|Nagpur|21.15|79.09
kathmandu|Kathmandu|27.72|85.32; dhaka|Dhaka|23.81|90.41
chittagong|Chittagong|22.36|91.78; colombo|Colombo|6.93|79.85
male|Male|4.18|73.51; tashkent|Tashkent|41.30|69.24
almaty|Almaty|43.24|76.89; astana|Astana|51.17|71.43
bishkek|Bishkek|42.87|74.59; dushanbe|Dushanbe|38.56|68.77
ashgabat|Ashgabat|37.95|58.38; ulaanbaatar|Ulaanbaatar|47.89|106.91
beijing|Beijing|39.90|116.41; shanghai|Shanghai|31.23|121.47
guangzhou|Guangzhou|23.13|113.26; shenzhen|Shenzhen|22.54|114.06
chengdu|Chengdu|30.57|104.07; chongqing|Chongqing|29.56|106.55
wuhan|Wuhan|30.59|114.31; xian|Xi'an|34.34|108.94
hangzhou|Hangzhou|30.27|120.16; nanjing|Nanjing|32.06|118.80
tianjin|Tianjin|39.34|117.36; qingdao|Qingdao|36.07|120.38
dalian|Dalian|38.91|121.61; shenyang|Shenyang|41.81|123.43
harbin|Harbin|45.80|126.53; zhengzhou|Zhengzhou|34.75|113.63
kunming|Kunming|24.88|102.83; urumqi|Urumqi|43.83|87.62
hong-kong|Hong Kong|22.32|114.17; macau|Macau|22.20|113.54
taipei|Taipei|25.03|121.57; kaohsiung|Kaohsiung|22.63|120.30
seoul|Seoul|37.57|126.98; busan|Busan|35.18|129.08
incheon|Incheon|37.46|126.71; daejeon|Daejeon|36.35|127.38
tokyo|Tokyo|35.68|139.69; osaka|Osaka|34.69|135.50
nagoya|Nagoya|35.18|136.91; fukuoka|Fukuoka|33.59|130.40
sapporo|Sapporo|43.06|141.35; sendai|Sendai|38.27|140.87
hiroshima|Hiroshima|34.39|132.46; naha|Naha|26.21|127.68
manila|Manila|14.60|120.98; cebu|Cebu|10.32|123.89
davao|Davao|7.19|125.46; hanoi|Hanoi|21.03|105.85
ho-chi-minh-city|Ho Chi Minh City|10.82|106.63; da-nang|Da Nang|16.05|108.20
bangkok|Bangkok|13.76|100.50; chiang-mai|Chiang Mai|18.79|98.98
phnom-penh|Phnom Penh|11.56|104.92; vientiane|Vientiane|17.98|102.63
yangon|Yangon|16.87|96.20; kuala-lumpur|Kuala Lumpur|3.14|101.69
johor-bahru|Johor Bahru|1.49|103.74; penang|Penang|5.41|100.33
singapore|Singapore|1.35|103.82; jakarta|Jakarta|-6.21|106.85
surabaya|Surabaya|-7.26|112.75; bandung|Bandung|-6.92|107.62
medan|Medan|3.60|98.67; denpasar|Denpasar|-8.67|115.21
bandar-seri-begawan|Bandar Seri Begawan|4.90|114.94; dili|Dili|-8.56|125.56
port-moresby|Port Moresby|-9.44|147.18; sydney|Sydney|-33.87|151.21
melbourne|Melbourne|-37.81|144.96; brisbane|Brisbane|-27.47|153.03
perth|Perth|-31.95|115.86; adelaide|Adelaide|-34.93|138.60
canberra|Canberra|-35.28|149.13; hobart|Hobart|-42.88|147.33
darwin|Darwin|-12.46|130.84; auckland|Auckland|-36.85|174.76
wellington|Wellington|-41.29|174.78; christchurch|Christchurch|-43.53|172.64
suva|Suva|-18.14|178.44; noumea|Noumea|-22.27|166.46
papeete|Papeete|-17.54|-149.57; apia|Apia|-13.83|-171.77
hagatna|Hagatna, Guam|13.47|144.75; honolulu|Honolulu|21.31|-157.86
anchorage|Anchorage|61.22|-149.90; cairo|Cairo|30.04|31.24
alexandria|Alexandria|31.20|29.92; khartoum|Khartoum|15.50|32.56
addis-ababa|Addis Ababa|9.01|38.76; asmara|Asmara|15.32|38.93
djibouti|Djibouti|11.59|43.15; mogadishu|Mogadishu|2.05|45.32
nairobi|Nairobi|-1.29|36.82; mombasa|Mombasa|-4.04|39.67
kampala|Kampala|0.35|32.58; kigali|Kigali|-1.94|30.06
bujumbura|Bujumbura|-3.38|29.36; dar-es-salaam|Dar es Salaam|-6.79|39.21
dodoma|Dodoma|-6.16|35.75; lusaka|Lusaka|-15.39|28.32
lilongwe|Lilongwe|-13.96|33.77; harare|Harare|-17.83|31.05
maputo|Maputo|-25.97|32.57; antananarivo|Antananarivo|-18.88|47.51
port-louis|Port Louis|-20.16|57.50; saint-denis|Saint-Denis, Reunion|-20.88|55.45
victoria|Victoria, Seychelles|-4.62|55.45; johannesburg|Johannesburg|-26.20|28.05
pretoria|Pretoria|-25.75|28.19; cape-town|Cape Town|-33.92|18.42
durban|Durban|-29.86|31.02; gaborone|Gaborone|-24.63|25.92
windhoek|Windhoek|-22.56|17.08; luanda|Luanda|-8.84|13.23
kinshasa|Kinshasa|-4.44|15.27; brazzaville|Brazzaville|-4.27|15.28
libreville|Libreville|0.39|9.45; yaounde|Yaounde|3.85|11.50
douala|Douala|4.05|9.70; ndjamena|N'Djamena|12.13|15.06
bangui|Bangui|4.39|18.56; lagos|Lagos|6.52|3.38
abuja|Abuja|9.07|7.40; kano|Kano|12.00|8.52
accra|Accra|5.60|-0.19; kumasi|Kumasi|6.69|-1.62
lome|Lome|6.13|1.22; cotonou|Cotonou|6.37|2.39
abidjan|Abidjan|5.36|-4.01; monrovia|Monrovia|6.30|-10.80
freetown|Freetown|8.48|-13.23; conakry|Conakry|9.64|-13.58
bamako|Bamako|12.64|-8.00; ouagadougou|Ouagadougou|12.37|-1.52
niamey|Niamey|13.51|2.11; dakar|Dakar|14.72|-17.47
praia|Praia|14.93|-23.51; nouakchott|Nouakchott|18.08|-15.98
casablanca|Casablanca|33.57|-7.59; rabat|Rabat|34.02|-6.84
marrakesh|Marrakesh|31.63|-8.01; algiers|Algiers|36.75|3.06
oran|Oran|35.70|-0.63; tunis|Tunis|36.81|10.18
tripoli|Tripoli|32.89|13.19; new-york|New York|40.71|-74.01
newark|Newark|40.74|-74.17; boston|Boston|42.36|-71.06
philadelphia|Philadelphia|39.95|-75.17; washington|Washington, D.C.|38.91|-77.04
ashburn|Ashburn|39.04|-77.49; baltimore|Baltimore|39.29|-76.61
pittsburgh|Pittsburgh|40.44|-80.00; buffalo|Buffalo|42.89|-78.88
richmond|Richmond|37.54|-77.44; raleigh|Raleigh|35.78|-78.64
charlotte|Charlotte|35.23|-80.84; atlanta|Atlanta|33.75|-84.39
jacksonville|Jacksonville|30.33|-81.66; orlando|Orlando|28.54|-81.38
tampa|Tampa|27.95|-82.46; miami|Miami|25.76|-80.19
nashville|Nashville|36.16|-86.78; memphis|Memphis|35.15|-90.05
new-orleans|New Orleans|29.95|-90.07; cleveland|Cleveland|41.50|-81.69
columbus|Columbus|39.96|-83.00; cincinnati|Cincinnati|39.10|-84.51
detroit|Detroit|42.33|-83.05; indianapolis|Indianapolis|39.77|-86.16
chicago|Chicago|41.88|-87.63; milwaukee|Milwaukee|43.04|-87.91
minneapolis|Minneapolis|44.98|-93.27; saint-louis|Saint Louis|38.63|-90.20
kansas-city|Kansas City|39.10|-94.58; omaha|Omaha|41.26|-95.93
des-moines|Des Moines|41.59|-93.62; oklahoma-city|Oklahoma City|35.47|-97.52
dallas|Dallas|32.78|-96.80; houston|Houston|29.76|-95.37
austin|Austin|30.27|-97.74; san-antonio|San Antonio|29.42|-98.49
denver|Denver|39.74|-104.99; salt-lake-city|Salt Lake City|40.76|-111.89
albuquerque|Albuquerque|35.08|-106.65; phoenix|Phoenix|33.45|-112.07
las-vegas|Las Vegas|36.17|-115.14; los-angeles|Los Angeles|34.05|-118.24
san-diego|San Diego|32.72|-117.16; san-francisco|San Francisco|37.77|-122.42
san-jose|San Jose, California|37.34|-121.89; sacramento|Sacramento|38.58|-121.49
portland|Portland, Oregon|45.52|-122.68; seattle|Seattle|47.61|-122.33
boise|Boise|43.62|-116.20; vancouver|Vancouver|49.28|-123.12
calgary|Calgary|51.05|-114.07; edmonton|Edmonton|53.55|-113.49
saskatoon|Saskatoon|52.13|-106.67; winnipeg|Winnipeg|49.90|-97.14
toronto|Toronto|43.65|-79.38; ottawa|Ottawa|45.42|-75.70
montreal|Montreal|45.50|-73.57; quebec|Quebec City|46.81|-71.21
halifax|Halifax|44.65|-63.58; st-johns|St. John's|47.56|-52.71
nuuk|Nuuk|64.18|-51.69; mexico-city|Mexico City|19.43|-99.13
guadalajara|Guadalajara|20.66|-103.35; monterrey|Monterrey|25.69|-100.32
queretaro|Queretaro|20.59|-100.39; tijuana|Tijuana|32.51|-117.04
merida|Merida|20.97|-89.62; guatemala-city|Guatemala City|14.63|-90.51
san-salvador|San Salvador|13.69|-89.22; tegucigalpa|Tegucigalpa|14.07|-87.19
managua|Managua|12.11|-86.24; san-jose-cr|San Jose, Costa Rica|9.93|-84.08
panama-city|Panama City|8.98|-79.52; havana|Havana|23.11|-82.37
kingston|Kingston|17.97|-76.79; port-au-prince|Port-au-Prince|18.59|-72.31
santo-domingo|Santo Domingo|18.49|-69.93; san-juan|San Juan|18.47|-66.11
nassau|Nassau|25.04|-77.35; bridgetown|Bridgetown|13.10|-59.62
port-of-spain|Port of Spain|10.66|-61.51; willemstad|Willemstad|12.11|-68.93
bogota|Bogota|4.71|-74.07; medellin|Medellin|6.24|-75.58
cali|Cali|3.45|-76.53; barranquilla|Barranquilla|10.97|-74.80
caracas|Caracas|10.48|-66.90; maracaibo|Maracaibo|10.65|-71.64
georgetown|Georgetown|6.80|-58.16; paramaribo|Paramaribo|5.85|-55.20
cayenne|Cayenne|4.92|-52.31; quito|Quito|-0.18|-78.47
guayaquil|Guayaquil|-2.19|-79.89; lima|Lima|-12.05|-77.04
arequipa|Arequipa|-16.41|-71.54; la-paz|La Paz|-16.49|-68.12
santa-cruz|Santa Cruz de la Sierra|-17.78|-63.18; asuncion|Asuncion|-25.26|-57.58
montevideo|Montevideo|-34.90|-56.16; buenos-aires|Buenos Aires|-34.60|-58.38
cordoba|Cordoba|-31.42|-64.18; rosario|Rosario|-32.94|-60.65
mendoza|Mendoza|-32.89|-68.84; santiago|Santiago|-33.45|-70.67
valparaiso|Valparaiso|-33.05|-71.61; concepcion|Concepcion|-36.83|-73.05
sao-paulo|Sao Paulo|-23.55|-46.63; rio-de-janeiro|Rio de Janeiro|-22.91|-43.17
campinas|Campinas|-22.91|-47.06; belo-horizonte|Belo Horizonte|-19.92|-43.94
brasilia|Brasilia|-15.79|-47.88; goiania|Goiania|-16.69|-49.26
curitiba|Curitiba|-25.43|-49.27; florianopolis|Florianopolis|-27.60|-48.55
porto-alegre|Porto Alegre|-30.03|-51.23; salvador|Salvador|-12.97|-38.50
recife|Recife|-8.05|-34.88; fortaleza|Fortaleza|-3.72|-38.54
belem|Belem|-1.46|-48.50; manaus|Manaus|-3.12|-60.02
ushuaia|Ushuaia|-54.80|-68.30
`;
